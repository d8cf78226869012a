/** A joiner without the text fetches it from the coordinator. @module */

import assert from "node:assert/strict";
import { corpusOf, loadCorpus } from "../../../src/data/corpus.ts";
import { answerAboutText, type SharedText } from "../../../src/dist/transfer/text_transfer.ts";
import { subjects } from "../../../src/dist/protocol/transport.ts";
import { decodeMessage } from "../../../src/dist/protocol/messages.ts";
import { fetchText } from "../../../src/run/participants/text_cache.ts";
import { uniformArray } from "../../../src/prng.ts";
import { MemoryBus } from "../../dist/support/memory_bus.ts";
import { storm } from "../../dist/support/weather.ts";
import { Workplace } from "../support/runs.ts";

/** Bytes that are no text, in files of these lengths. */
function filesOf(...lengths: number[]): Uint8Array[] {
  return lengths.map((length, i) =>
    Uint8Array.from(uniformArray(length, i, "bytes", 0, 256), (value) => Math.floor(value))
  );
}

function sharedText(files: readonly Uint8Array[]): SharedText {
  const { train, validation, sha256, files: lengths } = corpusOf(files, { validation: 0.3 });
  return { pieces: [train, validation], files: lengths, sha256 };
}

/** A coordinator that hands a text out, and counts the questions. */
function serve(bus: MemoryBus, text: SharedText): { asked: number } {
  const count = { asked: 0 };
  bus.connect().subscribe(subjects.state("toy", "coordinator"), ({ data, respond }) => {
    const question = decodeMessage(data, "toy");
    if ("refused" in question) return;
    count.asked++;
    const answer = answerAboutText(text, question, { run: "toy", sender: "coordinator" });
    if (answer) respond?.(answer);
  });
  return count;
}

async function withCache(place: Workplace, test: () => Promise<void>): Promise<void> {
  const before = Deno.env.get("FLASHMOB_CACHE");
  Deno.env.set("FLASHMOB_CACHE", `${place.folder}/cache`);
  try {
    await test();
  } finally {
    if (before === undefined) Deno.env.delete("FLASHMOB_CACHE");
    else Deno.env.set("FLASHMOB_CACHE", before);
  }
}

const REQUEST = { run: "toy", member: "w" };

Deno.test("a text of several files arrives as it is, though messages are lost and damaged, and is fetched once", async () => {
  await using place = await Workplace.open();
  const files = filesOf(300_000, 0, 7, 600_000);
  const text = sharedText(files);
  await withCache(place, async () => {
    using bus = new MemoryBus(storm(3, { lose: 0.02, double: 0.05, delay: 0.05, damage: 0.02 }));
    const count = serve(bus, text);
    const paths = await Promise.all([1, 2].map(() => fetchText(bus.connect(), REQUEST)));
    assert.equal(paths[0], paths[1]);
    const { sha256 } = await loadCorpus(paths[0], { validation: 0.1, raw: true });
    assert.equal(sha256, text.sha256);
    const { asked } = count;
    await fetchText(bus.connect(), REQUEST);
    assert.ok(count.asked - asked <= 2, "it is in the cache: only its name is asked for");
  });
});

Deno.test("a text with another checksum than it should have is not kept", async () => {
  await using place = await Workplace.open();
  const text = { ...sharedText(filesOf(1000)), sha256: "0".repeat(64) };
  await withCache(place, async () => {
    using bus = new MemoryBus();
    serve(bus, text);
    await assert.rejects(fetchText(bus.connect(), REQUEST), /another checksum/);
    assert.deepEqual([...Deno.readDirSync(`${place.folder}/cache/texts`)].map(({ name }) => name), [
      `${text.sha256}.lock`,
    ]);
  });
});

Deno.test("only the last few texts are kept, and one that is larger than memory is rejected", async () => {
  await using place = await Workplace.open();
  await withCache(place, async () => {
    for (let length = 10; length < 17; length++) {
      using bus = new MemoryBus();
      serve(bus, sharedText(filesOf(length)));
      await fetchText(bus.connect(), REQUEST);
    }
    const kept = [...Deno.readDirSync(`${place.folder}/cache/texts`)].filter(({ isDirectory }) =>
      isDirectory
    );
    assert.equal(kept.length, 4);
    using bus = new MemoryBus();
    const huge = new Uint8Array(0);
    serve(bus, {
      pieces: [{ length: 2 ** 50, subarray: () => huge } as unknown as Uint8Array],
      files: [2 ** 50],
      sha256: "1".repeat(64),
    });
    await assert.rejects(fetchText(bus.connect(), REQUEST), /more than half of the memory that is free here/);
  });
});
