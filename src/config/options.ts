/**
 * The options of a configuration as a list, and a description of each option's type: for `--help` and for messages about
 * wrong values, derived from the schema so that it can't be out of date.
 *
 * @module
 */

/** The part of JSON Schema that the configuration's schema uses. */
export interface JsonSchema {
  /** "object", "array", "string", "boolean", "integer" or "number". */
  type?: string;
  /** What the value is for. */
  description?: string;
  /** The value when none is given. */
  default?: unknown;
  /** The keys of an object. */
  properties?: Record<string, JsonSchema>;
  /** What an array holds. */
  items?: JsonSchema;
  /** How many at most. */
  maxItems?: number;
  /** All values that are allowed. */
  enum?: string[];
  /** Smallest value. */
  minimum?: number;
  /** Largest value. */
  maximum?: number;
  /** Values are larger. */
  exclusiveMinimum?: number;
  /** Values are smaller. */
  exclusiveMaximum?: number;
  /** What it is divisible by. */
  multipleOf?: number;
  /** Our own: a description of what a text looks like. */
  form?: string;
}

/** One option of a configuration. */
export interface ConfigOption {
  /** Its dotted path: "optimizer.learningRate". */
  path: string;
  /** A description of the values that it takes. */
  type: string;
  /** Whether its value is any text, to be taken as it stands. */
  isText: boolean;
  /** Whether its value is a list of texts: one that is no list in YAML is taken as the only text. */
  isTexts: boolean;
  /** Whether it is true or false; a flag without a value means true. */
  isSwitch: boolean;
  /** The value when none is given; undefined where that follows from others, as the description says. */
  default: unknown;
  /** What it is for, with its unit or reason. */
  description: string;
}

/**
 * All options of an object, depth first in the order of the schema.
 *
 * @example
 * ```ts
 * import { optionsOf } from "./options.ts";
 * const steps = { type: "integer", minimum: 1, default: 300, description: "Steps." };
 * const [option] = optionsOf({ properties: { train: { type: "object", properties: { steps } } } });
 * console.assert(option.path === "train.steps" && option.type === "a whole number of at least 1");
 * ```
 */
export function optionsOf(schema: JsonSchema, parent = ""): ConfigOption[] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, node]) => {
    const path = parent + key;
    if (node.properties) return optionsOf(node, `${path}.`);
    return {
      path,
      type: typeText(node),
      isText: node.type === "string",
      isTexts: node.items?.type === "string",
      isSwitch: node.type === "boolean",
      default: node.default,
      description: node.description ?? "",
    };
  });
}

/** A section of a configuration. */
export interface ConfigSection {
  /** Its key: "optimizer". */
  name: string;
  /** What its options are about. */
  description: string;
}

/** The sections of an object, in the order of the schema. */
export function sectionsOf(schema: JsonSchema): ConfigSection[] {
  return Object.entries(schema.properties ?? {}).filter(([, node]) => node.properties)
    .map(([name, { description = "" }]) => ({ name, description }));
}

/** The schema of the value at a path. */
export function schemaAt(schema: JsonSchema, path: readonly PropertyKey[]): JsonSchema {
  return path.reduce<JsonSchema>((at, key) => at.properties?.[String(key)] ?? at.items ?? {}, schema);
}

/** A description of the values that a schema allows: "a whole number of at least 1". */
export function typeText(schema: JsonSchema): string {
  if (schema.form) return schema.form;
  if (schema.enum) return schema.enum.join(", ").replace(/, (?=[^,]*$)/, " or ");
  switch (schema.type) {
    case "object":
      return `a section with the keys ${Object.keys(schema.properties ?? {}).join(", ")}`;
    case "array":
      return `a list${most(schema)}, each ${typeText(schema.items ?? {})}`;
    case "boolean":
      return "true or false";
    case "integer":
      return `a whole number${rangeText(schema)}`;
    case "number":
      return `a number${rangeText(schema)}`;
    default:
      return "text";
  }
}

const most = ({ maxItems }: JsonSchema) => maxItems === undefined ? "" : ` of at most ${maxItems}`;

function rangeText({ minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf }: JsonSchema): string {
  const limits: string[] = [];
  // A whole number's own limits, ± (2^53 − 1), go without saying.
  if (minimum !== undefined && minimum > Number.MIN_SAFE_INTEGER) limits.push(`of at least ${minimum}`);
  if (exclusiveMinimum !== undefined) limits.push(`above ${exclusiveMinimum}`);
  if (maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER) limits.push(`at most ${maximum}`);
  if (exclusiveMaximum !== undefined) limits.push(`below ${exclusiveMaximum}`);
  if (multipleOf !== undefined) limits.push(`divisible by ${multipleOf}`);
  return limits.length > 0 ? ` ${limits.join(" and ")}` : "";
}
