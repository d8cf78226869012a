/**
 * Every flag that a command's `--help` shows is given once in each of its forms, and every line of the README is parsed: the
 * flags are read off the texts, so that a new one is tried, too.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Command, readArguments } from "../../src/cli/arguments.ts";
import { parseExport } from "../../src/cli/export_command_line.ts";
import { parseCoordinator, parseTrain } from "../../src/cli/command_line.ts";
import { helpText } from "../../src/cli/help.ts";
import { parseConvert, parseEvaluate, parseGenerate } from "../../src/cli/model_command_line.ts";
import { parseSetup } from "../../src/cli/setup_command_line.ts";
import { parseDashboard, parseProfile, parseRuns } from "../../src/cli/watch_command_line.ts";
import { ConfigError } from "../../src/errors.ts";
import { AVERAGING } from "../bench/averaging.ts";
import { FAULTS } from "../bench/faults.ts";
import { BENCH } from "../bench/run.ts";
import { SOAK } from "../soak/soak.ts";

interface Case {
  parse: (args: string[]) => unknown;
  /** What `--help` shows. */
  help: string;
  /** What it takes at least. */
  positional?: string[];
  /** Flags that have to be given. */
  required?: Record<string, string>;
}

const helpOf = (parse: (args: string[]) => unknown) => (parse(["--help"]) as { text: string }).text;

const own = (command: Command): Case => ({
  parse: (args) => readArguments(args, command),
  help: helpText(command),
});

const COMMANDS: Record<string, Case> = {
  train: { parse: parseTrain, help: helpOf(parseTrain) },
  coordinator: { parse: parseCoordinator, help: helpOf(parseCoordinator) },
  generate: { parse: parseGenerate, help: helpOf(parseGenerate), positional: ["run"] },
  evaluate: {
    parse: parseEvaluate,
    help: helpOf(parseEvaluate),
    positional: ["run"],
    required: { data: "book.txt" },
  },
  convert: { parse: parseConvert, help: helpOf(parseConvert), positional: ["in.safetensors", "run"] },
  "export-run": {
    parse: parseExport,
    help: helpOf(parseExport),
    positional: ["run"],
    required: { csv: "true" },
  },
  setup: { parse: parseSetup, help: helpOf(parseSetup) },
  dashboard: { parse: parseDashboard, help: helpOf(parseDashboard) },
  runs: { parse: parseRuns, help: helpOf(parseRuns) },
  profile: { parse: parseProfile, help: helpOf(parseProfile), positional: ["run"] },
  soak: own(SOAK),
  bench: own(BENCH),
  "bench:averaging": own(AVERAGING),
  "bench:faults": own(FAULTS),
};

const URL_GIVEN = "nats://token@host:4222";

/** A value for each kind that a help names. */
const VALUES: Record<string, string> = {
  ...{ DIR: "runs/a", URL: URL_GIVEN, "HOST:PORT": "host:4222", TEXT: "some text", COMMAND: "python3" },
  ...{ N: "3", T: "0.5", K: "5", P: "0.5", BYTE: "10", "N,…": "1,2", "CODEC,…": "int8" },
  ...{ HOST: "localhost", "true|false": "false" },
};

/** A value for each option of the configuration that has no default. */
const WITHOUT_DEFAULT: Record<string, string> = {
  ...{ "data.lengths": "[64, 128]", "optimizer.schedule.steps": "10", "machine.out": "runs/a" },
  ...{ "eval.samples": "The people", "machine.run": "demo", "machine.name": "host", "machine.device": "cpu" },
};

/** What a flag does not go without. */
const WITH: Record<string, string[]> = {
  "train --join": ["--run", "demo"],
  "train --from-step": ["--resume", "runs/a"],
  "train --from-start": ["--resume", "runs/a"],
  "coordinator --from-step": ["--resume", "runs/a"],
  "coordinator --from-start": ["--resume", "runs/a"],
  "coordinator --reducer": ["--nats", URL_GIVEN, "--run", "demo"],
};

/** The flags of a help with a value for each; undefined for a switch. */
function flagsOf(help: string): [flag: string, value: string | undefined][] {
  const shown = [...help.matchAll(/^ {2}--(\S+)(?: (\S+(?: \S+)*))? {2,}(.*)$/gm)];
  assert.equal(shown.length, help.match(/^ {2}--/gm)!.length);
  const options = new Map(
    shown.filter(([, name]) => name.includes(".")).map((
      [, name, usual],
    ) => [name, usual ?? WITHOUT_DEFAULT[name]]),
  );
  return shown.map(([, name, kind, text]) => {
    const option = name.includes(".") ? name : /^Short for --(\S+)\.$/.exec(text)?.[1];
    const value = option === undefined ? kind && VALUES[kind] : options.get(option);
    assert.ok(value !== undefined || (option === undefined && kind === undefined), `a value for --${name}?`);
    return [name, value];
  });
}

function problemsOf(parse: (args: string[]) => unknown, args: string[]): readonly string[] {
  try {
    parse(args);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

for (const [name, { parse, help, positional = [], required = {} }] of Object.entries(COMMANDS)) {
  const baseOf = (flag: string) => [
    ...positional,
    ...Object.entries(required).filter(([other]) => other !== flag).map(([other, value]) =>
      `--${other}=${value}`
    ),
    ...(WITH[`${name} --${flag}`] ?? []),
  ];
  const flags = flagsOf(help);

  Deno.test(`deno task ${name} takes each flag that its help shows, in each of its forms`, () => {
    assert.ok(flags.some(([flag]) => flag === "help"));
    for (const [flag, value] of flags) {
      const base = baseOf(flag);
      const forms = value === undefined
        ? [[`--${flag}`], [`--${flag}=true`], ...(flag === "help" ? [["-h"]] : [])]
        : [[`--${flag}`, value], [`--${flag}=${value}`]];
      const orders = forms.flatMap((form) => [parse([...base, ...form]), parse([...form, ...base])]);
      for (const order of orders) assert.deepEqual(order, orders[0], `--${flag}`);
      if (!(flag in required)) {
        const without = WITH[`${name} --${flag}`] ? undefined : parse(base);
        assert.notDeepEqual(orders[0], without, `--${flag} changes nothing`);
      }
    }
  });

  Deno.test(`deno task ${name} passes over no flag without its value, given twice, or denied`, () => {
    for (const [flag, value] of flags) {
      const base = baseOf(flag);
      if (value === undefined) {
        if (flags.some(([other]) => other === `no-${flag}`)) continue;
        assert.match(
          problemsOf(parse, [...base, `--no-${flag}`]).join("\n"),
          new RegExp(`--no-${flag}: unknown`),
        );
      } else {
        const missing = new RegExp(`--${flag}: a value is missing`);
        const isMissed = value !== "true" && value !== "false"; // those are true without a value
        const found = isMissed ? missing : /^$/;
        assert.match(problemsOf(parse, [...base, `--${flag}`]).join("\n"), found);
        assert.match(problemsOf(parse, [...base, `--${flag}`, "--help=false"]).join("\n"), found);
        const twice = [`--${flag}`, value, `--${flag}=${value}`];
        assert.match(
          problemsOf(parse, [...base, ...twice]).join("\n"),
          new RegExp(`--${flag}: given 2 times`),
        );
      }
    }
  });
}

Deno.test("a value may begin with a dash where it can't be a flag", () => {
  const prompts = ["- item", "-", "--", "---\ntitle", "-5", "--seeds", "--- a=b", "-n x"];
  for (const prompt of prompts) {
    const order = parseGenerate(["run", "--prompt", prompt, "--tokens", "3"]);
    assert.ok(order.action === "generate");
    assert.deepEqual([order.prompt, order.options.tokens], [prompt, 3]);
  }
  assert.match(
    problemsOf(parseGenerate, ["run", "--prompt", "--tokens", "3"])[0],
    /--prompt: a value is missing/,
  );
  assert.match(problemsOf(parseGenerate, ["run", "--prompt", "--seed=3"])[0], /--prompt: a value is missing/);
  assert.deepEqual(problemsOf(parseGenerate, ["run", "--temperature", "-1"]), [
    '--temperature: expected a number of at least 0, found "-1"',
  ]);
  assert.deepEqual(problemsOf(parseTrain, ["--train.seed", "-1"]), [
    "train.seed: expected a whole number of at least 0, found -1",
  ]);
  assert.match(problemsOf(parseTrain, ["--out", "--jsn"])[0], /--out: a value is missing/);
  const dashed = parseGenerate(["--prompt=a", "--", "--a.b"]);
  assert.ok(dashed.action === "generate" && dashed.checkpoint === "--a.b");
});

Deno.test("an argument that was no UTF-8 is refused, since its bytes are lost", () => {
  for (const args of [["--prompt=caf\ufffd"], ["--prompt", "caf\ufffd"], ["--", "caf\ufffd"]]) {
    assert.match(problemsOf(parseGenerate, ["run", ...args])[0], /bytes that are no UTF-8.*standard input/);
  }
  assert.match(problemsOf(parseTrain, ["--data", "caf\ufffd.txt"])[0], /bytes that are no UTF-8/);
});

Deno.test("every command line of README, CONTRIBUTING and docs/tracking.md is accepted", () => {
  const pages = ["README.md", "CONTRIBUTING.md", "docs/tracking.md"].map((name) =>
    Deno.readTextFileSync(new URL(`../../${name}`, import.meta.url))
  );
  const lines = [...pages.join("\n").matchAll(/^deno task ([\w:-]+)([^#\n]*)/gm)];
  let tried = 0;
  for (const [line, name, rest] of lines) {
    if (!(name in COMMANDS)) continue;
    const args = [...rest.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
    assert.deepEqual(problemsOf(COMMANDS[name].parse, args), [], line);
    tried++;
  }
  assert.ok(tried > 10, `${tried} lines`);
});
