/** Reads what stands in event files, checksums included, as far as the tests look at it. */

import assert from "node:assert/strict";
import { maskedCrc32c } from "../../src/tensorboard/crc32c.ts";

/** A field of a protobuf message. */
interface Field {
  number: number;
  value: number | Uint8Array;
}

/** A point of a curve, or a text. */
export interface Value {
  tag: string;
  step: number;
  time: number;
  value: number | string;
}

/** The event files of a folder with something in them, in order. */
export function eventFilesIn(folder: string): string[] {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) =>
    name.includes("tfevents")
  );
  return names.sort().map((name) => `${folder}/${name}`).filter((path) => Deno.statSync(path).size > 0);
}

/** The events of a file, whose checksums are right. A torn last one is left out. */
export function* eventsIn(path: string): Generator<Uint8Array> {
  const bytes = Deno.readFileSync(path);
  const view = new DataView(bytes.buffer);
  for (let at = 0; at + 12 <= bytes.length;) {
    assert.equal(view.getUint32(at + 8, true), maskedCrc32c(bytes.subarray(at, at + 8)));
    const end = at + 12 + Number(view.getBigUint64(at, true));
    if (end + 4 > bytes.length) return;
    const event = bytes.subarray(at + 12, end);
    assert.equal(view.getUint32(end, true), maskedCrc32c(event));
    yield event;
    at = end + 4;
  }
}

/** The points and texts of a file, in order. */
export function valuesIn(path: string): Value[] {
  return [...eventsIn(path)].flatMap((event) => {
    const fields = fieldsOf(event);
    const [time, step] = [fieldOf(fields, 1) as number, fieldOf(fields, 2) as number];
    const summary = fieldOf(fields, 5) as Uint8Array | undefined;
    return (summary ? fieldsOf(summary) : []).map((entry) => {
      const value = fieldsOf(entry.value as Uint8Array), tensor = fieldOf(value, 8) as Uint8Array | undefined;
      const texts = tensor && fieldOf(fieldsOf(tensor), 8) as Uint8Array | undefined;
      return {
        tag: textOf(fieldOf(value, 1)),
        step,
        time,
        value: fieldOf(value, 2) as number | undefined ?? textOf(texts),
      };
    });
  });
}

const fieldOf = (fields: Field[], wanted: number) => fields.find(({ number }) => number === wanted)?.value;

const textOf = (value: unknown) => value === undefined ? "" : new TextDecoder().decode(value as Uint8Array);

/** The fields of a message. */
function fieldsOf(message: Uint8Array): Field[] {
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    for (let value = 0, weight = 1;; weight *= 128) {
      const byte = message[at++];
      value += byte % 128 * weight;
      if (byte < 128) return value;
    }
  };
  while (at < message.length) {
    const key = varint(), kind = key % 8;
    let value: Field["value"];
    if (kind === 0) value = varint();
    else if (kind === 1) value = view.getFloat64((at += 8) - 8, true);
    else if (kind === 5) value = view.getFloat32((at += 4) - 4, true);
    else {
      const length = varint();
      value = message.subarray(at, at += length);
    }
    fields.push({ number: Math.floor(key / 8), value });
  }
  return fields;
}
