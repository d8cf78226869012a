/**
 * Knocks at a NATS server before the client does. When a server turns the client away and resets the connection, the
 * client has taken its listeners off the socket already, and the error ends the process (nats 2.29.3: 8 of 60 wrong
 * tokens on a busy machine). So credentials are tried here first.
 *
 * @module
 */

/** What a server said to the credentials. */
export type Knock = "welcome" | "denied" | "unclear";

/** Seconds that the server has for its answers. */
const TIMEOUT = 5;

/** It hung up, or took so long that we did. */
const UNCLEAR = [Deno.errors.ConnectionReset, Deno.errors.BadResource, Deno.errors.Interrupted];

/**
 * Presents credentials to a server and leaves again.
 *
 * @param credentials fields of the protocol's CONNECT message: `auth_token`, or `user` and `pass`
 * @returns "unclear" where the server wants TLS, or says something else or nothing: the client will find out
 * @throws what Deno says where nobody listens there
 */
export async function knock(
  hostname: string,
  port: number,
  credentials: Record<string, string>,
): Promise<Knock> {
  using connection = await Deno.connect({ hostname, port });
  const timer = setTimeout(() => connection.close(), TIMEOUT * 1000);
  try {
    const info = await readUntil(connection, /^INFO (.*)\r\n/);
    if (!info || /"tls_(required|available)":true/.test(info[1])) return "unclear";
    const hello = JSON.stringify({ ...credentials, verbose: false, pedantic: false });
    await connection.write(new TextEncoder().encode(`CONNECT ${hello}\r\nPING\r\n`));
    const answer = await readUntil(connection, /^(PONG|-ERR '(.*)')\r\n/m);
    if (answer?.[1] === "PONG") return "welcome";
    return answer && /^Auth/i.test(answer[2]) ? "denied" : "unclear";
  } catch (error) {
    if (UNCLEAR.some((kind) => error instanceof kind)) return "unclear";
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Reads until the text so far matches; undefined where it ends before. */
async function readUntil(connection: Deno.Conn, pattern: RegExp): Promise<RegExpExecArray | undefined> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4096);
  let text = "";
  for (;;) {
    const count = await connection.read(buffer);
    if (count === null) return undefined;
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
    const match = pattern.exec(text);
    if (match) return match;
  }
}
