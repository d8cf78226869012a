import assert from "node:assert/strict";
import { ConfigError } from "../../src/errors.ts";
import { parseConvert, parseEvaluate, parseGenerate } from "../../src/cli/model_command_line.ts";

function problemsOf(parse: () => unknown): readonly string[] {
  try {
    parse();
  } catch (error) {
    assert.ok(error instanceof ConfigError);
    return error.problems;
  }
  assert.fail("nothing was wrong");
}

Deno.test("the arguments of generate are a checkpoint, a prompt and options", () => {
  const flags = [
    "--tokens=9",
    "--temperature",
    "0",
    "--top-k",
    "5",
    "--top-p=0.9",
    "--seed",
    "7",
    "--end-token=10",
  ];
  assert.deepEqual(parseGenerate(["runs/demo", "--prompt", "--- ", "--samples", "2", ...flags]), {
    action: "generate",
    checkpoint: "runs/demo",
    prompt: "--- ",
    samples: 2,
    options: { tokens: 9, temperature: 0, topK: 5, topP: 0.9, seed: 7, endToken: 10 },
  });
  const plain = parseGenerate(["demo"]);
  assert.ok(plain.action === "generate" && plain.prompt === undefined && plain.samples === 1);
  const empty = parseGenerate(["demo", "--prompt", ""]);
  assert.ok(empty.action === "generate" && empty.prompt === "");
});

Deno.test("all that is wrong with the arguments of generate is named at once", () => {
  const problems = problemsOf(() =>
    parseGenerate(["--temprature=1", "--tokens", "many", "--top-k=0", "--top-p", "2", "--seed=1", "--seed=2"])
  );
  assert.deepEqual(problems.map((problem) => problem.replace(/;? ?usage.*/, "")), [
    "--temprature: unknown; did you mean --temperature?",
    "--seed: given 2 times",
    '--tokens: expected a whole number of at least 0, found "many"',
    '--top-k: expected a whole number of at least 1, found "0"',
    '--top-p: expected a number above 0, at most 1, found "2"',
    "expected CHECKPOINT, found none",
  ]);
  assert.match(problemsOf(() => parseGenerate(["a", "b"]))[0], /expected CHECKPOINT, found a, b/);
});

Deno.test("--help lists every flag of generate", () => {
  const order = parseGenerate(["--help"]);
  assert.ok(order.action === "help");
  for (const flag of ["prompt", "tokens", "temperature", "top-k", "top-p", "seed", "samples", "end-token"]) {
    assert.match(order.text, new RegExp(`--${flag} `));
  }
  assert.doesNotMatch(order.text, /CONFIG.yaml/);
});

Deno.test("evaluate takes a checkpoint and a text", () => {
  assert.deepEqual(parseEvaluate(["run", "--data", "book.txt", "--context=1024", "--json"]), {
    action: "evaluate",
    checkpoint: "run",
    data: "book.txt",
    context: 1024,
    json: true,
  });
  assert.deepEqual(problemsOf(() => parseEvaluate(["run", "--context=1"])), [
    '--context: expected a whole number of at least 2, found "1"',
    "--data is missing",
  ]);
});

Deno.test("convert writes a file where the second name is one, else the folder of a run", () => {
  assert.deepEqual(parseConvert(["run", "out.safetensors"]), {
    action: "export",
    source: "run",
    out: "out.safetensors",
  });
  const uninferable = {
    groupSize: undefined,
    causal: undefined,
    shiftTokens: undefined,
    laplaceAttnFn: undefined,
  };
  const importing = (...flags: string[]) => parseConvert(["in.safetensors", "run", ...flags]);
  assert.deepEqual(importing(), {
    action: "import",
    source: "in.safetensors",
    out: "run",
    given: uninferable,
  });
  assert.deepEqual(importing("--group-size=64", "--causal", "--laplace-attn-fn", "--no-shift-tokens"), {
    action: "import",
    source: "in.safetensors",
    out: "run",
    given: { groupSize: 64, causal: true, laplaceAttnFn: true, shiftTokens: false },
  });
  assert.deepEqual(
    importing("--no-laplace-attn-fn", "--shift-tokens"),
    {
      action: "import",
      source: "in.safetensors",
      out: "run",
      given: { ...uninferable, laplaceAttnFn: false, shiftTokens: true },
    },
  );
  assert.deepEqual(problemsOf(() => importing("--no-shift-tokens", "--shift-tokens")), [
    "--shift-tokens with --no-shift-tokens: give one of them",
  ]);
  assert.match(
    problemsOf(() => parseConvert(["run", "out.safetensors", "--no-shift-tokens"]))[0],
    /^out.safetensors is to be written for a model that is known/,
  );
  assert.match(
    problemsOf(() => parseConvert(["in.safetensors"]))[0],
    /expected CHECKPOINT or IN.safetensors and OUT/,
  );
});
