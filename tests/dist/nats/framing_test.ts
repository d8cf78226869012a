import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { ForeignError, WholeMessages } from "../../../src/dist/nats/framing.ts";
import { randomStream } from "../../../src/prng.ts";

const encoder = new TextEncoder();

/** Numbers in [0, 1), one after the other. */
type Random = () => number;

function randomOf(seed: number): Random {
  const stream = randomStream(seed, "messages");
  let drawn = 0;
  return () => stream.uniform(drawn++);
}

/** A message of the NATS protocol with content of a given length. */
function message(line: string, bytes?: number, fill = 0): Uint8Array {
  if (bytes === undefined) return encoder.encode(`${line}\r\n`);
  const head = encoder.encode(`${line} ${bytes}\r\n`);
  const whole = new Uint8Array(head.length + bytes + 2).fill(fill);
  whole.set(head);
  whole.set(encoder.encode("\r\n"), head.length + bytes);
  return whole;
}

const GREETING = message('INFO {"server_name":"here","max_payload":1048576}');

/** Some messages, small and large, one after the other; contents are full of line breaks and of what looks like messages. */
function someMessages(random: Random): Uint8Array[] {
  const below = (limit: number) => Math.floor(random() * limit);
  return Array.from({ length: 40 }, (_, i) => {
    switch (below(5)) {
      case 0:
        return message("PING");
      case 1:
        return message("MSG flashmob.demo.all 7", below(200), 10);
      case 2:
        return message(`MSG flashmob.demo.all 7 _INBOX.${i}`, 60_000 + below(400_000), i);
      case 3:
        return message(`MSG _INBOX.abc.${i} 1`, below(300_000), i);
      default:
        return message("HMSG flashmob.demo.from.a 12 50", 50 + below(900_000), i);
    }
  });
}

/** Feeds bytes in pieces of random sizes, and returns what was taken after each. */
function* readAll(messages: WholeMessages, bytes: Uint8Array, random: Random): Generator<Uint8Array> {
  for (let from = 0; from < bytes.length;) {
    const room = messages.room();
    assert.ok(room.length > 0);
    const piece = bytes.subarray(from, from + Math.ceil(random() ** 4 * Math.min(room.length, 300_000)));
    room.set(piece);
    messages.note(piece.length);
    from += piece.length;
    for (let taken = messages.take(); taken; taken = messages.take()) yield taken;
  }
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(pieces));
}

Deno.test("messages that arrive in any pieces are returned whole and in order", () => {
  for (let seed = 0; seed < 8; seed++) {
    const random = randomOf(seed);
    const sent = [GREETING, ...someMessages(random)];
    const ends = new Set<number>();
    sent.reduce((end, { length }) => ends.add(end + length) && end + length, 0);
    const taken: Uint8Array[] = [];
    let at = 0;
    for (const piece of readAll(new WholeMessages(), join(sent), random)) {
      taken.push(piece.slice());
      assert.ok(ends.has(at += piece.length), "it ends where a message ends");
    }
    assert.deepEqual(join(taken), join(sent));
  }
});

Deno.test("memory of parts of vectors is reused, that of answers and small messages is not", () => {
  const kept = (line: string, bytes: number) => {
    const messages = new WholeMessages();
    const sent = [1, 2, 3].map((fill) => message(line, bytes, fill));
    const [, first] = [...readAll(messages, join([GREETING, ...sent]), randomOf(1))];
    return first.subarray(0, sent[0].length).join() === sent[0].join();
  };
  assert.ok(!kept("MSG flashmob.demo.all 7", 100_000));
  assert.ok(kept("MSG _INBOX.abc 7", 100_000));
  assert.ok(kept("MSG flashmob.demo.all 7", 60_000));
});

/** The result for bytes that arrive in pieces of a given length. */
function reasonRefused(sent: Uint8Array, piece: number): string | undefined {
  const messages = new WholeMessages();
  try {
    for (let at = 0; at < sent.length;) {
      const room = messages.room();
      assert.ok(room.length > 0, "reading goes on");
      const bytes = sent.subarray(at, at + Math.min(piece, room.length));
      room.set(bytes);
      messages.note(bytes.length);
      while (messages.take());
      at += bytes.length;
    }
  } catch (error) {
    if (error instanceof ForeignError) return error.message;
    throw error;
  }
}

Deno.test("data that is not NATS is rejected at once, in any pieces, and shown without control characters", () => {
  for (const piece of [1, 7, 100_000]) {
    const refused = (text: string) => reasonRefused(encoder.encode(text), piece);
    assert.match(refused("HTTP/1.1 400 Bad Request\r\n\r\n")!, /^it says "HTTP\//);
    assert.match(refused("SSH-2.0-OpenSSH_9.2\r\n")!, /^it says "SSH-2/);
    assert.match(refused("\x16\x03\x01\x9b31mred")!, /^it says "[ -~]+"$/);
    assert.match(refused("A".repeat(1e5))!, /^it says "A/);
    assert.match(refused(`INFO ${"x".repeat(1e5)}`)!, /no end of line/);
    assert.match(refused(`MSG ${"x".repeat(1e5)}`)!, /no end of line/);
    assert.match(refused(`INFO {}\r\nPING\r\n\r\n${" ".repeat(10)}`)!, /^it says/);
    assert.equal(refused("INFO {}\r\nping\r\n+OK\r\n-ERR 'Stale Connection'\r\n"), undefined);
    assert.equal(refused("INF"), undefined, "more may come");
  }
});

Deno.test("no memory is allocated for a message that is larger than the server's own limit", () => {
  const refused = (line: string) => reasonRefused(encoder.encode(`${line}\r\n`), 1000);
  const info = 'INFO {"max_payload": 1048576}';
  for (const bytes of ["4294967296", "9".repeat(400), "2097152"]) {
    assert.match(
      refused(`${info}\r\nMSG a 1 ${bytes}`)!,
      /announces a message of \S+ bytes, and its own limit is 1048576$/,
    );
    assert.match(refused(`${info}\r\nHMSG a 1 12 ${bytes}`)!, /announces/);
    assert.match(refused(`MSG a 1 ${bytes}`)!, /its own limit is 0/);
  }
  assert.equal(refused(`${info}\r\nMSG a 1 1048576`), undefined);
  assert.equal(
    refused(`${info}\r\nINFO {"max_payload":8388608}\r\nMSG a 1 8388608`),
    undefined,
    "the limit has changed",
  );
});
