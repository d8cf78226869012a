/**
 * Messages about what is wrong with a configuration, one line each: where, what was expected, what was found.
 *
 * @module
 */

import { stringifyJson } from "../json.ts";
import { type JsonSchema, optionsOf, schemaAt, typeText } from "./options.ts";
import type { RunSettings } from "./schema.ts";
import { nearestPath } from "./nearest.ts";
import { reasonRemoved } from "./removed.ts";

/** What the checker of the schema found: the path of a value, and which keys there it does not know. */
export interface Issue {
  /** Keys from the outermost on. */
  readonly path: readonly PropertyKey[];
  /** Only where unknown keys are the problem. */
  readonly keys?: readonly string[];
}

/** Values that do not fit the schema, and keys that it does not have. */
export function describeIssues(issues: readonly Issue[], input: unknown, schema: JsonSchema): string[] {
  return issues.flatMap(({ path, keys }) => {
    if (keys) return keys.map((key) => unknownKey([...path, key].join("."), schema));
    const where = path.length > 0 ? path.join(".") : "configuration";
    return `${where}: expected ${typeText(schemaAt(schema, path))}, found ${show(valueAt(input, path))}`;
  });
}

/** Values that the schema has a default for, and that are wanted even so. */
export function missingValues(input: unknown, settings: object, schema: JsonSchema): string[] {
  return optionsOf(schema).flatMap(({ path, type }) => {
    const keys = path.split(".");
    const isMissing = valueAt(input, keys) === undefined && valueAt(settings, keys) !== undefined;
    return isMissing ? [`${path}: expected ${type}, found nothing`] : [];
  });
}

/** Values that fit by themselves and not together. */
export function contradictions(
  { model, data, train, optimizer, eval: { samples = [] }, dist }: RunSettings,
): string[] {
  const { schedule } = optimizer;
  const scheduled = schedule.steps ?? train.steps;
  const { lengths = [], seqLen } = data;
  const problems: string[] = [];
  const expect = (holds: boolean, problem: string) => {
    if (!holds) problems.push(problem);
  };
  expect(model.dim % 2 === 0, `model.dim: expected an even number, found ${model.dim}`);
  expect(
    model.queryKeyDim % 2 === 0,
    `model.queryKeyDim: expected an even number, found ${model.queryKeyDim}`,
  );
  expect(
    Math.trunc(model.dim * model.expansionFactor) >= 1,
    `model.expansionFactor: ${model.expansionFactor} leaves a model.dim of ${model.dim} without a hidden feature`,
  );
  expect(
    model.causal,
    "model.causal: expected true: a model that sees the next token has nothing to learn from predicting it",
  );
  expect(
    train.batch % train.microBatch === 0,
    `train.microBatch: expected a divisor of train.batch ${train.batch}, found ${train.microBatch}`,
  );
  expect(
    lengths.every((length, i) => length <= seqLen && (i === 0 || length > lengths[i - 1])),
    `data.lengths: expected rising numbers up to data.seqLen ${seqLen}, found ${show(lengths)}`,
  );
  for (const sample of samples) {
    const { length } = new TextEncoder().encode(sample);
    expect(
      length <= seqLen,
      `eval.samples: expected texts of at most data.seqLen ${seqLen} bytes, found one of ${length}: ${
        show(sample.slice(0, 40))
      }`,
    );
  }
  expect(
    schedule.kind === "constant" || schedule.warmup < scheduled,
    `optimizer.schedule.warmup: expected, for a ${schedule.kind} schedule, less than ` +
      `${
        schedule.steps === undefined ? "train.steps" : "optimizer.schedule.steps"
      } ${scheduled}, found ${schedule.warmup}`,
  );
  expect(
    dist.mode === "allreduce" || dist.warmupSteps < train.steps,
    `dist.warmupSteps: expected less than train.steps ${train.steps}, so that dist.mode average has a step to begin with, ` +
      `found ${dist.warmupSteps}`,
  );
  expect(
    dist.windowBytes >= dist.partBytes,
    `dist.windowBytes: expected at least dist.partBytes ${dist.partBytes}, found ${dist.windowBytes}`,
  );
  expect(
    dist.silenceSeconds > dist.heartbeatSeconds,
    `dist.silenceSeconds: expected more than dist.heartbeatSeconds ${dist.heartbeatSeconds}, found ${dist.silenceSeconds}`,
  );
  return problems;
}

function unknownKey(path: string, schema: JsonSchema): string {
  const removed = reasonRemoved(path);
  if (removed !== undefined) return `${path}: ${removed}`;
  const known = [...Object.keys(schema.properties ?? {}), ...optionsOf(schema).map((option) => option.path)];
  const nearest = nearestPath(path, known);
  return `${path}: unknown${nearest === undefined ? "" : `; did you mean ${nearest}?`}`;
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], value);
}

function show(value: unknown): string {
  return value === undefined || value === null ? "nothing" : stringifyJson(value);
}
