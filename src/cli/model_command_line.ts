/**
 * What the arguments of the commands for trained models mean: `deno task generate`, `evaluate` and `convert`. Pure functions
 * from arguments to an order.
 *
 * @module
 */

import { parseArgs } from "@std/cli/parse-args";
import type { HelpOrder } from "./command_line.ts";
import type { UntoldOptions } from "../trained/convert.ts";
import { ConfigError } from "../errors.ts";
import { type CommandHelp, type FlagHelp, helpText } from "./help.ts";
import type { GenerateOptions } from "../model/generation.ts";
import { nearestName } from "../config/nearest.ts";

/** What `deno task generate` was told to do. */
export type GenerateOrder =
  | HelpOrder
  | {
    action: "generate";
    /** A run's folder, a checkpoint's or a model.safetensors. */
    checkpoint: string;
    /** The text to go on with; undefined: the lines of standard input, one after the other. */
    prompt?: string;
    /** How many texts for each prompt. */
    samples: number;
    options: GenerateOptions;
  };

/** What `deno task evaluate` was told to do. */
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

/** What `deno task convert` was told to do. */
export type ConvertOrder =
  | HelpOrder
  /** A state dict from a checkpoint. */
  | { action: "export"; source: string; out: string }
  /** The folder of a run from a state dict. */
  | { action: "import"; source: string; out: string; untold: UntoldOptions };

/** A flag with what its value has to be. */
interface Flag extends FlagHelp {
  /** Text where undefined. */
  number?: { wanted: string; holds: (value: number) => boolean };
}

interface Command extends CommandHelp {
  flags: Flag[];
  /** What stands on the command line without a flag, in order. */
  positional: string[];
}

const wholeFrom = (low: number, high = Number.MAX_SAFE_INTEGER) => ({
  wanted: `a whole number ${
    high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`
  }`,
  holds: (value: number) => Number.isSafeInteger(value) && value >= low && value <= high,
});

const HELP: Flag = { name: "help", text: "Show this." };

const GENERATE: Command = {
  usage: [
    "deno task generate CHECKPOINT --prompt TEXT [options]   go on with a text",
    "deno task generate CHECKPOINT [options] < PROMPTS       go on with each line of standard input",
  ],
  positional: ["CHECKPOINT"],
  short: {},
  flags: [
    { name: "prompt", value: "TEXT", text: "The text to go on with. Empty: as after a newline." },
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
    HELP,
  ],
};

/**
 * What `deno task generate` is to do.
 *
 * @throws {ConfigError} with all that is wrong with the arguments
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
  if (switches.help) return { action: "help", text: helpText(GENERATE) };
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
  usage: ["deno task evaluate CHECKPOINT --data TEXT [options]   loss over a whole text"],
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
    HELP,
  ],
};

/** What `deno task evaluate` is to do; throws as {@linkcode parseGenerate}. */
export function parseEvaluate(args: string[]): EvaluateOrder {
  const { switches, texts, numbers, positional: [checkpoint] } = readArguments(args, EVALUATE, ["data"]);
  if (switches.help) return { action: "help", text: helpText(EVALUATE) };
  return { action: "evaluate", checkpoint, data: texts.data!, context: numbers.context, json: switches.json };
}

const CONVERT: Command = {
  usage: [
    "deno task convert CHECKPOINT OUT.safetensors        a state_dict for FLASH-pytorch",
    "deno task convert IN.safetensors FOLDER [options]   the folder of a run from FLASH-pytorch's state_dict",
  ],
  positional: ["CHECKPOINT or IN.safetensors", "OUT.safetensors or FOLDER"],
  short: {},
  flags: [
    {
      name: "group-size",
      value: "N",
      text:
        "The model's group_size, which a state_dict does not tell; it is taken to be causal. Default 256.",
      number: wholeFrom(1),
    },
    { name: "laplace-attn-fn", text: "The model has laplace_attn_fn = True." },
    { name: "no-shift-tokens", text: "The model has shift_tokens = False." },
    HELP,
  ],
};

/** What `deno task convert` is to do; throws as {@linkcode parseGenerate}. */
export function parseConvert(args: string[]): ConvertOrder {
  const { switches, numbers, positional: [source, out] } = readArguments(args, CONVERT);
  if (switches.help) return { action: "help", text: helpText(CONVERT) };
  if (out.endsWith(".safetensors")) return { action: "export", source, out };
  const untold = {
    groupSize: numbers["group-size"],
    laplaceAttnFn: switches["laplace-attn-fn"],
    shiftTokens: !switches["no-shift-tokens"],
  };
  return { action: "import", source, out, untold };
}

/** Arguments taken apart; flags that were not given are undefined. */
interface Arguments {
  switches: Record<string, boolean>;
  texts: Record<string, string | undefined>;
  numbers: Record<string, number | undefined>;
  positional: string[];
}

/** Throws a ConfigError with all problems, missing `required` flags among them, unless help was asked for. */
function readArguments(args: string[], command: Command, required: readonly string[] = []): Arguments {
  const problems: string[] = [];
  const names = command.flags.map(({ name }) => name);
  const switches = command.flags.filter(({ value }) => !value).map(({ name }) => name);
  const parsed = parseArgs(args, {
    boolean: switches,
    string: ["_", ...names.filter((name) => !switches.includes(name))],
    alias: { help: "h" },
    unknown: (arg) => {
      if (!arg.startsWith("-")) return true;
      const flag = arg.replace(/=.*/s, "");
      const nearest = nearestName(flag.replace(/^-+/, ""), names);
      problems.push(`${flag}: unknown${nearest === undefined ? "" : `; did you mean --${nearest}?`}`);
      return false;
    },
  });
  const found: Arguments = {
    switches: Object.fromEntries(switches.map((name) => [name, parsed[name] === true])),
    texts: {},
    numbers: {},
    positional: parsed._.map(String),
  };
  for (const flag of command.flags.filter(({ value }) => value)) {
    readFlag(flag, parsed[flag.name], found, problems);
  }
  const { positional, usage } = command;
  if (found.positional.length !== positional.length) {
    const given = found.positional.length === 0 ? "none" : found.positional.join(", ");
    problems.push(`expected ${positional.join(" and ")}, found ${given}; usage: ${usage[0]}`);
  }
  for (const name of required) if (parsed[name] === undefined) problems.push(`--${name} is missing`);
  if (problems.length > 0 && !found.switches.help) throw new ConfigError(problems);
  return found;
}

function readFlag({ name, number }: Flag, given: unknown, found: Arguments, problems: string[]): void {
  if (given === undefined) return;
  if (typeof given !== "string") return void problems.push(`--${name}: given more than once`);
  if (!number) return void (found.texts[name] = given);
  const value = given.trim() === "" ? NaN : Number(given);
  if (number.holds(value)) return void (found.numbers[name] = value);
  problems.push(`--${name}: expected ${number.wanted}, found ${JSON.stringify(given)}`);
}
