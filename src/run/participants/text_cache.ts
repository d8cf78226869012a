/**
 * The cache of texts that workers have fetched from coordinators: each is a folder named by its checksum, with its files by their
 * numbers. Only the last few are kept.
 *
 * @module
 */

import { remove } from "../../checkpoint/folder.ts";
import { freeMemory, inGib } from "../../data/memory_budget.ts";
import { RunError } from "../../errors.ts";
import { waitForLock } from "../../packages/file_lock.ts";
import { cacheFolder } from "../../packages/packages.ts";
import { type Messages, type TextRequest, TextRequests, type Transport } from "../../dist/mod.ts";

/** How many texts are kept. */
const KEPT = 4;
/** Milliseconds between two lines about the progress. */
const PROGRESS = 2000;

/**
 * The run's text on this machine: from the cache, or fetched from the coordinator. Of several workers of a machine one fetches it.
 *
 * @param onStatus receives status lines
 * @returns a folder, to be opened as a text
 * @throws {RunError} where the coordinator does not hand it out, or it does not fit into memory
 */
export async function fetchText(
  transport: Transport,
  request: TextRequest,
  onStatus: (text: string) => void = () => {},
): Promise<string> {
  const requests = new TextRequests(transport, request);
  const contents = await requests.contents();
  const folder = `${cacheFolder()}/texts`;
  const place = `${folder}/${contents.sha256}`;
  await Deno.mkdir(folder, { recursive: true });
  using _lock = await waitForLock(`${folder}/${contents.sha256}.lock`, {
    signal: request.signal,
    onWait: () => onStatus("waits for another worker here that fetches the run's text"),
  });
  if (await Deno.stat(place).catch(() => undefined)) {
    await Deno.utime(place, new Date(), new Date());
    return place;
  }
  const room = freeMemory() / 2; // it is there twice while it is opened
  if (contents.bytes > room) {
    throw new RunError(
      `the run's text has ${inGib(contents.bytes)}, more than half of the memory that is free here`,
    );
  }
  let reportedAt = Date.now();
  onStatus(`fetches the run's text (${contents.bytes.toLocaleString("en")} bytes) from the coordinator`);
  const text = await requests.bytes(contents, (share) => {
    if (Date.now() - reportedAt < PROGRESS) return;
    reportedAt = Date.now();
    onStatus(`fetches the run's text: ${Math.floor(100 * share)} %`);
  });
  await write(place, text, contents);
  await prune(folder);
  return place;
}

/** Writes a text's files, all or nothing. */
async function write(place: string, text: Uint8Array, { files }: Messages["contents"]): Promise<void> {
  const staging = `${place}.tmp`;
  await remove(staging);
  await Deno.mkdir(staging);
  let from = 0;
  for (const [i, length] of files.entries()) {
    await Deno.writeFile(`${staging}/${String(i).padStart(6, "0")}`, text.subarray(from, from + length));
    from += length + 1;
  }
  await Deno.rename(staging, place);
}

/** Deletes all texts but those that were used last. */
async function prune(folder: string): Promise<void> {
  const texts: { name: string; at: number }[] = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const { mtime } = await Deno.stat(`${folder}/${name}`);
    if (isDirectory) texts.push({ name, at: mtime?.getTime() ?? 0 });
  }
  for (const { name } of texts.sort((a, b) => b.at - a.at).slice(KEPT)) {
    await remove(`${folder}/${name}`);
    await remove(`${folder}/${name}.lock`);
  }
}
