/**
 * The command lines for trained models, `deno task generate`, `evaluate` and `convert`: pure functions from arguments to an
 * order.
 *
 * @module
 */

import type { UninferableOptions } from "../trained/convert.ts";
import { ConfigError } from "../errors.ts";
import { type Command, HELP_FLAG, readArguments, wholeFrom } from "./arguments.ts";
import { type HelpOrder, helpOrder } from "./help.ts";
import type { GenerateOptions } from "../model/generation/generate.ts";

/** An order to `deno task generate`. */
export type GenerateOrder =
  | HelpOrder
  | {
    action: "generate";
    /** A run's folder, a checkpoint's or a model.safetensors. */
    checkpoint: string;
    /** The text to continue; undefined: the lines of standard input, one after the other. */
    prompt?: string;
    /** Number of texts for each prompt. */
    samples: number;
    options: GenerateOptions;
  };

/** An order to `deno task evaluate`. */
export type EvaluateOrder =
  | HelpOrder
  | {
    action: "evaluate";
    /** A run's folder, a checkpoint's or a model.safetensors. */
    checkpoint: string;
    /** The text, as in the configuration's `data.source`. */
    data: string;
    /** Tokens of a window; undefined: as many as the model was trained with. */
    context?: number;
    json: boolean;
  };

/** An order to `deno task convert`. */
export type ConvertOrder =
  | HelpOrder
  /** A state dict from a checkpoint. */
  | { action: "export"; source: string; out: string }
  /** The folder of a run from a state dict. */
  | { action: "import"; source: string; out: string; given: UninferableOptions };

const GENERATE: Command = {
  usage: [
    ["deno task generate CHECKPOINT --prompt TEXT [options]", "continue a text"],
    ["deno task generate CHECKPOINT [options] < PROMPTS", "continue each line of standard input"],
  ],
  examples: [
    ['deno task generate runs/book --prompt "The "', "256 bytes, from the newest checkpoint"],
    ['deno task generate runs/book --prompt "The " --temperature 0.7 --samples 3', "three, less varied"],
    ["deno task generate runs/book", "asks for prompts"],
  ],
  positional: ["CHECKPOINT"],
  short: {},
  flags: [
    {
      name: "prompt",
      value: "TEXT",
      text: "The text to continue. Empty: as after a newline.",
      isFreeText: true,
    },
    { name: "tokens", value: "N", text: "Bytes to add at most. Default 256.", number: wholeFrom(0) },
    {
      name: "temperature",
      value: "T",
      text: "0 always takes the most likely byte; the higher, the more varied. Default 1.",
      number: { wanted: "a number of at least 0", holds: (value) => Number.isFinite(value) && value >= 0 },
    },
    {
      name: "top-k",
      value: "K",
      text: "Choose among the K most likely bytes. Default: all.",
      number: wholeFrom(1),
    },
    {
      name: "top-p",
      value: "P",
      text: "Choose among the most likely bytes that together have this probability. Default 1.",
      number: { wanted: "a number above 0, at most 1", holds: (value) => value > 0 && value <= 1 },
    },
    { name: "seed", value: "N", text: "The same seed gives the same text. Default 0.", number: wholeFrom(0) },
    { name: "samples", value: "N", text: "Texts for each prompt. Default 1.", number: wholeFrom(1) },
    {
      name: "end-token",
      value: "BYTE",
      text: "End a text before this byte, e.g. 10 for a newline. Default: none.",
      number: wholeFrom(0, 255),
    },
    HELP_FLAG,
  ],
};

/**
 * Parses the arguments of `deno task generate`.
 *
 * @throws {ConfigError} with all problems
 *
 * @example
 * ```ts
 * import { parseGenerate } from "./model_command_line.ts";
 * const order = parseGenerate(["runs/demo", "--prompt", "The ", "--top-k", "5"]);
 * console.assert(order.action === "generate" && order.options.topK === 5);
 * ```
 */
export function parseGenerate(args: string[]): GenerateOrder {
  const { switches, texts, numbers, positional: [checkpoint] } = readArguments(args, GENERATE);
  if (switches.help) return helpOrder(args, GENERATE);
  const { tokens, temperature, seed, samples = 1 } = numbers;
  const options = {
    tokens,
    temperature,
    topK: numbers["top-k"],
    topP: numbers["top-p"],
    seed,
    endToken: numbers["end-token"],
  };
  return { action: "generate", checkpoint, prompt: texts.prompt, samples, options };
}

const EVALUATE: Command = {
  usage: [["deno task evaluate CHECKPOINT --data TEXT [options]", "loss over a whole text"]],
  examples: [["deno task evaluate runs/book --data other.txt --json", "as JSON"]],
  positional: ["CHECKPOINT"],
  short: {},
  flags: [
    { name: "data", value: "TEXT", text: "A file, a folder, sotu or enwik8: all of it is evaluated." },
    {
      name: "context",
      value: "N",
      text:
        "Tokens of a window. All but the text's first window predict with half of it or more before them. " +
        "Default: the windows that the model was trained with.",
      number: wholeFrom(2),
    },
    { name: "json", text: "Print the result as JSON." },
    HELP_FLAG,
  ],
};

/** Parses the arguments of `deno task evaluate`; throws as {@linkcode parseGenerate}. */
export function parseEvaluate(args: string[]): EvaluateOrder {
  const { switches, texts, numbers, positional: [checkpoint] } = readArguments(args, EVALUATE, ["data"]);
  if (switches.help) return helpOrder(args, EVALUATE);
  return { action: "evaluate", checkpoint, data: texts.data!, context: numbers.context, json: switches.json };
}

const CONVERT: Command = {
  usage: [
    ["deno task convert CHECKPOINT OUT.safetensors", "a state_dict for FLASH-pytorch"],
    [
      "deno task convert IN.safetensors FOLDER [options]",
      "the folder of a run from FLASH-pytorch's state_dict",
    ],
  ],
  examples: [
    ["deno task convert runs/book weights.safetensors", "a file that load_state_dict takes"],
    ["deno task convert weights.safetensors runs/imported", "the way back: such a file needs no flag"],
  ],
  positional: ["CHECKPOINT or IN.safetensors", "OUT.safetensors or FOLDER"],
  short: {},
  flags: [
    {
      name: "group-size",
      value: "N",
      text:
        "The model's group_size. A state_dict of FLASH-pytorch tells neither this nor the rest: all have to be given. " +
        "A file of flashmob tells them itself.",
      number: wholeFrom(1),
    },
    { name: "causal", text: "The model has causal = True; no other one is taken." },
    { name: "shift-tokens", text: "The model has shift_tokens = True, FLASH-pytorch's default." },
    { name: "no-shift-tokens", text: "The model has shift_tokens = False." },
    { name: "laplace-attn-fn", text: "The model has laplace_attn_fn = True." },
    { name: "no-laplace-attn-fn", text: "The model has laplace_attn_fn = False, FLASH-pytorch's default." },
    HELP_FLAG,
  ],
};

/** Parses the arguments of `deno task convert`; throws as {@linkcode parseGenerate}. */
export function parseConvert(args: string[]): ConvertOrder {
  const { switches, numbers, positional: [source, out] } = readArguments(args, CONVERT);
  if (switches.help) return helpOrder(args, CONVERT);
  const problems: string[] = [];
  const trueOrFalse = (name: string) => {
    if (switches[name] && switches[`no-${name}`]) {
      problems.push(`--${name} with --no-${name}: give one of them`);
    }
    return switches[name] ? true : switches[`no-${name}`] ? false : undefined;
  };
  const given = {
    groupSize: numbers["group-size"],
    causal: switches.causal || undefined,
    shiftTokens: trueOrFalse("shift-tokens"),
    laplaceAttnFn: trueOrFalse("laplace-attn-fn"),
  };
  const isExport = out.endsWith(".safetensors");
  if (isExport && Object.values(given).some((value) => value !== undefined)) {
    problems.push(
      `${out} is to be written for a model that is known; only IN.safetensors FOLDER takes options`,
    );
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return isExport ? { action: "export", source, out } : { action: "import", source, out, given };
}
