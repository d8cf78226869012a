/**
 * The event files of a folder, as TensorBoard reads them: records of TensorFlow's TFRecord format, one `Event` in each.
 *
 * | bytes  | what                              |
 * | ------ | --------------------------------- |
 * | 8      | length of the event, low end first |
 * | 4      | masked CRC-32C of these 8 bytes   |
 * | length | the event                         |
 * | 4      | masked CRC-32C of the event       |
 *
 * @module
 */

import { maskedCrc32c } from "./crc32c.ts";
import { fileVersion, sessionStart } from "./events.ts";

/** TensorBoard reads what has "tfevents" in its name, in the order of the names: the time of the start, in seconds. */
const NAME = /^events\.out\.tfevents\.(\d{10})\.flashmob$/;

/** Adds events to an event file. */
export class EventWriter implements Disposable {
  readonly #file: Deno.FsFile;

  /** Makes the file, or makes it empty. */
  constructor(path: string) {
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true });
  }

  /** Adds an event, which outlives the process once this returns. Errors are the system's. */
  write(event: Uint8Array): void {
    const bytes = record(event);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/**
 * Begins the events of a folder anew, with `history` in place of all that our event files there have said. Errors are the
 * system's.
 *
 * The file begins with a start of a session at step 0, so that a TensorBoard which has read the files before it drops what they
 * said. Empty ones take their place, and are removed the next time: a
 * TensorBoard that stands in a file which is gone reads no other one.
 */
export function replaceEvents(folder: string, history: Iterable<Uint8Array>): EventWriter {
  Deno.mkdirSync(folder, { recursive: true });
  const earlier = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => NAME.test(name));
  const time = Date.now() / 1000;
  const unfinished = `${folder}/unfinished`;
  const writer = new EventWriter(unfinished);
  try {
    writer.write(fileVersion(time));
    writer.write(sessionStart({ step: 0, time }));
    for (const event of history) writer.write(event);
    const newest = Math.max(...earlier.map((name) => Number(NAME.exec(name)![1])), 0);
    const number = String(Math.max(Math.floor(time), newest + 1)).padStart(10, "0");
    Deno.renameSync(unfinished, `${folder}/events.out.tfevents.${number}.flashmob`);
    for (const name of earlier) retire(`${folder}/${name}`, unfinished);
    return writer;
  } catch (error) {
    writer[Symbol.dispose]();
    throw error;
  }
}

/** Puts an empty file in the place of a file, and removes it where it is empty. What has the old one open writes into nothing. */
function retire(path: string, unfinished: string): void {
  if (Deno.statSync(path).size === 0) return Deno.removeSync(path);
  new EventWriter(unfinished)[Symbol.dispose]();
  Deno.renameSync(unfinished, path);
}

function record(event: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8 + 4 + event.length + 4);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(event.length), true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(event, 12);
  view.setUint32(12 + event.length, maskedCrc32c(event), true);
  return bytes;
}
