/**
 * The events of an event file, encoded: TensorFlow's `Event` message (tensorflow/core/util/event.proto) with what of it
 * TensorBoard needs. The numbers are those of the fields in the `.proto` files of TensorFlow and of TensorBoard's plugins.
 *
 * @module
 */

import { type Bytes, bytesField, doubleField, floatField, stringField, varintField } from "./protobuf.ts";

/** Where an event stands in TensorBoard's curves. */
export interface Moment {
  /** On the axis of steps. */
  step: number;
  /** Seconds since 1970. */
  time: number;
}

/** The kind of a tensor's elements. */
const DT = { float: 1, string: 7 };
/** What a summary's tensor is. */
const DATA_CLASS_TENSOR = 2;
/** `SessionLog.SessionStatus`. */
const SESSION_START = 1;

/** The event that a file begins with. */
export function fileVersion(time: number): Uint8Array {
  return Uint8Array.from([...doubleField(1, time), ...stringField(3, "brain.Event:2")]);
}

/** Makes a TensorBoard that has read earlier files forget what they say of this step and later ones. */
export function sessionStart({ step, time }: Moment): Uint8Array {
  const log = varintField(1, SESSION_START);
  return Uint8Array.from([...doubleField(1, time), ...varintField(2, step), ...bytesField(7, log)]);
}

/** Points of curves, by tag. They are float32, as TensorBoard wants them. */
export function scalars(moment: Moment, values: Readonly<Record<string, number>>): Uint8Array {
  const points = Object.entries(values).map(([tag, value]) => [
    ...stringField(1, tag),
    ...floatField(2, value),
  ]);
  return summary(moment, points);
}

/** A text, which TensorBoard takes for Markdown. */
export function text(moment: Moment, tag: string, markdown: string): Uint8Array {
  const tensor = [...varintField(1, DT.string), ...bytesField(2, []), ...stringField(8, markdown)];
  return summary(moment, [
    [...stringField(1, tag), ...bytesField(8, tensor), ...bytesField(9, metadata("text", []))],
  ]);
}

/** The hyperparameters of a run that starts at `time`, by name: with them it has a row in the tab HPARAMS. */
export function hyperparameters(
  time: number,
  values: Readonly<Record<string, number | string | boolean>>,
): Uint8Array {
  const entries = Object.entries(values).flatMap(([name, value]) =>
    bytesField(1, [...stringField(1, name), ...bytesField(2, jsonValue(value))])
  );
  const start = [...entries, ...doubleField(5, time)];
  const content = [...varintField(1, 0), ...bytesField(3, start)];
  const empty = [...varintField(1, DT.float), ...bytesField(2, bytesField(2, varintField(1, 0)))];
  return summary({ step: 0, time }, [[
    ...stringField(1, "_hparams_/session_start_info"),
    ...bytesField(8, empty),
    ...bytesField(9, metadata("hparams", content)),
  ]]);
}

function summary({ step, time }: Moment, values: readonly Bytes[]): Uint8Array {
  const list = values.flatMap((value) => bytesField(1, value));
  return Uint8Array.from([...doubleField(1, time), ...varintField(2, step), ...bytesField(5, list)]);
}

/** `SummaryMetadata`: which plugin shows a value. */
function metadata(plugin: string, content: Bytes): Bytes {
  return [
    ...bytesField(1, [...stringField(1, plugin), ...bytesField(2, content)]),
    ...varintField(4, DATA_CLASS_TENSOR),
  ];
}

/** `google.protobuf.Value`. */
function jsonValue(value: number | string | boolean): Bytes {
  if (typeof value === "number") return doubleField(2, value);
  return typeof value === "string" ? stringField(3, value) : varintField(4, Number(value));
}
