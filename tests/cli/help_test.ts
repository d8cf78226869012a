import assert from "node:assert/strict";
import { parseCoordinator, parseTrain } from "../../src/cli/command_line.ts";
import { parseConvert, parseEvaluate, parseGenerate } from "../../src/cli/model_command_line.ts";
import { peerFlag, peerHint } from "../../src/cli/peers.ts";
import { parseSetup } from "../../src/cli/setup_command_line.ts";
import { configOptions, configSections } from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";

type Parse = (args: string[]) => unknown;

function helpOf(parse: Parse, ...args: string[]): { text: string; brief: string } {
  const order = parse(args) as { action: string; text: string; brief: string };
  assert.equal(order.action, "help");
  return order;
}

function problemsOf(parse: Parse, ...args: string[]): readonly string[] {
  try {
    parse(args);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return error.problems;
  }
  return [];
}

const COMMANDS = { parseTrain, parseCoordinator, parseGenerate, parseEvaluate, parseConvert, parseSetup };

Deno.test("every help fits 80 columns", () => {
  for (const [name, parse] of Object.entries(COMMANDS)) {
    const { text, brief } = helpOf(parse, "--help");
    for (const line of `${text}\n${brief}`.split("\n")) assert.ok(line.length <= 80, `${name}: ${line}`);
  }
});

Deno.test("on a terminal the help of train is short: usage, examples, the most used options, all sections", () => {
  const { text, brief } = helpOf(parseTrain, "--help");
  assert.ok(brief.split("\n").length < 50 && text.split("\n").length > 100);
  assert.match(brief, /^Usage:\n[^]*Examples:\n[^]*--steps 500[^]*--optimizer.learningRate \d/);
  for (const { name, description } of configSections) {
    assert.ok(description !== "", name);
    assert.match(brief, new RegExp(`^  ${name} +\\S`, "m"));
  }
  const { text: own, brief: same } = helpOf(parseGenerate, "--help");
  assert.equal(own, same);
  assert.match(own, /^Examples:\n {2}deno task generate /m);
});

Deno.test("the examples of each help are accepted", () => {
  for (const parse of Object.values(COMMANDS)) {
    const { text } = helpOf(parse, "--help");
    const examples = text.split("\n\n").find((block) => block.startsWith("Examples:")) ?? "";
    for (const [, rest] of examples.matchAll(/^ {2}deno task \w+ ?(.*?)(?: {2}.*)?$/gm)) {
      const args = [...rest.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain);
      assert.deepEqual(problemsOf(parse, ...args), [], rest);
    }
  }
});

Deno.test("--help SECTION shows the options of a section, --help all everything", () => {
  const all = helpOf(parseTrain, "--help").text;
  for (const form of [["--help", "all"], ["--help=all"], ["-h", "all"]]) {
    assert.deepEqual(helpOf(parseTrain, ...form), { action: "help", text: all, brief: all });
  }
  for (const { name } of configSections) {
    const { text, brief } = helpOf(parseCoordinator, "--help", name);
    assert.equal(text, brief);
    const shown = [...text.matchAll(/^ {2}--(\S+)/gm)].map(([, path]) => path);
    assert.deepEqual(
      shown,
      configOptions.map(({ path }) => path).filter((path) => path.startsWith(`${name}.`)),
    );
  }
  assert.equal(helpOf(parseTrain, "--help", "my.yaml").text, all);
  assert.match(
    problemsOf(parseTrain, "--help", "optimiser")[0],
    /^--help optimiser: there is no such section; did you mean optimizer\? The sections are model, data/,
  );
});

Deno.test("flags of other trainers are answered with ours, and their values with nothing", () => {
  assert.deepEqual(problemsOf(parseTrain, "--lr", "3e-4", "--epochs=3", "--batch_size", "64", "--gpu"), [
    "--lr: write --optimizer.learningRate",
    "--epochs: write --steps; a run counts steps, and says at its start how many epochs they make",
    "--batch_size: write --train.batch; the sequences of a step, of all workers together",
    "--gpu: write --machine.device gpu; a GPU is used where there is one",
  ]);
  assert.deepEqual(problemsOf(parseGenerate, "run", "--max-new-tokens", "20", "--top_k=5"), [
    "--max-new-tokens: write --tokens",
    "--top_k: unknown; did you mean --top-k?",
  ]);
  assert.deepEqual(problemsOf(parseEvaluate, "run", "--data=a", "--lr=1"), ["--lr: unknown"]);
  assert.deepEqual(problemsOf(parseTrain, "--seed", "3"), []);
});

Deno.test("what a flag of another trainer is answered with exists", () => {
  const known = [
    ...configOptions.map(({ path }) => path),
    "steps",
    "data",
    "out",
    "resume",
    "run",
    "workers",
  ];
  for (const name of ["lr", "n-layer", "clip", "warmup_steps", "eval-interval", "Save-Steps", "output_dir"]) {
    const [, flag] = /^write --(\S+?);?(?: |$)/.exec(peerHint(peerFlag(name, known)!))!;
    assert.ok(known.includes(flag), flag);
  }
});
