import assert from "node:assert/strict";
import { parse } from "@std/yaml";
import {
  type Config,
  configHash,
  configOptions,
  loadConfig,
  overrideProblems,
  resolveConfig,
  runPart,
  stringifyConfig,
} from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";
import { resolveTransformer } from "../../src/model/options.ts";

const configs = new URL("../../configs/", import.meta.url);

function problemsOf(value: unknown, overrides: Record<string, unknown> = {}): string[] {
  try {
    resolveConfig(value, overrides);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return [...error.problems];
  }
  return [];
}

Deno.test("resolveConfig() gives configs/tiny.yaml where nothing is said", async () => {
  const tiny = resolveConfig(await loadConfig(new URL("tiny.yaml", configs).pathname));
  assert.deepEqual(runPart(tiny), runPart(resolveConfig()));
  assert.equal(tiny.machine.workers, resolveConfig().machine.workers);
});

Deno.test("configs/enwik8.yaml makes train.py's step: its model, 16 sequences, clipping and epsilon a quarter", async () => {
  const { model, train, optimizer } = resolveConfig(
    await loadConfig(new URL("enwik8.yaml", configs).pathname),
  );
  assert.deepEqual([model.dim, model.depth, model.groupSize, model.queryKeyDim], [512, 8, 256, 128]);
  assert.equal(train.batch / train.microBatch, 4);
  assert.deepEqual([optimizer.clipNorm, optimizer.epsilon], [0.5 / 4, 1e-8 / 4]);
});

Deno.test("resolveConfig() gives a model section that the model takes", () => {
  const { model } = resolveConfig();
  assert.deepEqual(resolveTransformer(model), { ...model, divideByMaskedLength: false });
});

Deno.test("resolveConfig() reports all problems at once: path, what was expected, what was found", () => {
  const problems = problemsOf({
    model: { dim: "wide", causl: true, normType: "batchnorm", depth: 0 },
    data: { lengths: [64, "x"], validation: 1 },
    train: { steps: 1.5, learningRate: 1e-3 },
    optimizer: { learninRate: 1, schedule: { kind: "step" } },
    eval: null,
    dist: { partBytes: 1025 },
    machine: { run: "my run" },
    modle: {},
  });
  assert.deepEqual(
    problems.toSorted(),
    [
      'model.dim: expected a whole number of at least 1, found "wide"',
      "model.causl: unknown; did you mean model.causal?",
      'model.normType: expected scalenorm or layernorm, found "batchnorm"',
      "model.depth: expected a whole number of at least 1, found 0",
      'data.lengths.1: expected a whole number of at least 1, found "x"',
      "data.validation: expected a number above 0 and below 1, found 1",
      "train.steps: expected a whole number of at least 1, found 1.5",
      "train.learningRate: unknown; did you mean optimizer.learningRate?",
      "optimizer.learninRate: unknown; did you mean optimizer.learningRate?",
      'optimizer.schedule.kind: expected constant, linear or cosine, found "step"',
      "eval: expected a section with the keys every, windows, samples, found nothing",
      "dist.partBytes: expected a whole number of at least 262144, found 1025",
      'machine.run: expected 1 to 64 letters, digits, _ and -, found "my run"',
      "modle: unknown; did you mean model?",
    ].toSorted(),
  );
});

Deno.test("resolveConfig() takes up to 16 texts to be continued, none longer than a window", () => {
  const samples = ["The people, ", "é", "[list]"];
  assert.deepEqual(resolveConfig({ eval: { samples } }).eval.samples, samples);
  assert.equal(resolveConfig().eval.samples, undefined);
  assert.deepEqual(problemsOf({ eval: { samples: "The people" } }), [
    'eval.samples: expected a list of at most 16, each text, found "The people"',
  ]);
  const [many] = problemsOf({ eval: { samples: new Array(17).fill("a") } });
  assert.match(many, /^eval\.samples: expected a list of at most 16, each text, found \["a",/);
  assert.equal(problemsOf({ eval: { samples: [""] } }).length, 1);
  assert.deepEqual(problemsOf({ eval: { samples: ["ab", "éa"] }, data: { seqLen: 2 } }), [
    'eval.samples: expected texts of at most data.seqLen 2 bytes, found one of 3: "éa"',
  ]);
});

Deno.test("resolveConfig() reports all values that do not fit together", () => {
  const problems = problemsOf({
    model: { dim: 127, queryKeyDim: 3, expansionFactor: 1e-3, causal: false },
    data: { lengths: [300, 20] },
    train: { batch: 8, microBatch: 3 },
    optimizer: { schedule: { kind: "cosine", warmup: 500 } },
    dist: {
      codec: "bfloat16",
      windowBytes: 300_000,
      silenceSeconds: 1,
      mode: "average",
      warmupSteps: 500,
    },
  });
  assert.deepEqual(problems.map((problem) => problem.split(":")[0]), [
    "model.dim",
    "model.queryKeyDim",
    "model.expansionFactor",
    "model.causal",
    "train.microBatch",
    "data.lengths",
    "optimizer.schedule.warmup",
    "dist.warmupSteps",
    "dist.windowBytes",
    "dist.silenceSeconds",
  ]);
  assert.match(problems[4], /expected a divisor of train\.batch 8, found 3/);
  assert.deepEqual(problemsOf({ optimizer: { schedule: { kind: "cosine", warmup: 5, steps: 6 } } }), []);
  assert.match(problems[6], /expected, for a cosine schedule, less than train\.steps 500, found 500/);
  assert.deepEqual(problemsOf({ optimizer: { schedule: { kind: "linear", warmup: 5, steps: 5 } } }), [
    "optimizer.schedule.warmup: expected, for a linear schedule, less than optimizer.schedule.steps 5, found 5",
  ]);
  assert.deepEqual(problemsOf({ optimizer: { schedule: { floor: 1.1 } } }), [
    "optimizer.schedule.floor: expected a number of at least 0 and at most 1, found 1.1",
  ]);
  assert.equal(problemsOf({ data: { lengths: [64, 64] } }).length, 1);
  assert.deepEqual(
    problemsOf({ dist: { warmupSteps: 500 } }),
    [],
    "it means nothing where gradients are averaged",
  );
  assert.deepEqual(problemsOf({ dist: { mode: "average", outerMomentum: 1, outerRate: 0, localSteps: 0 } }), [
    "dist.localSteps: expected a whole number of at least 1, found 0",
    "dist.outerRate: expected a number above 0, found 0",
    "dist.outerMomentum: expected a number of at least 0 and below 1, found 1",
  ]);
});

Deno.test("resolveConfig() rejects what is no configuration at all", () => {
  for (const value of ["text", 5, [], null]) {
    assert.match(problemsOf(value)[0], /^configuration: expected a section with the keys model, data/);
    assert.match(problemsOf(value, { "train.steps": 5 })[0], /^configuration: expected a section/);
  }
  assert.match(problemsOf({ train: 5 }, { "train.steps": 5 })[0], /^train: expected a section .*, found 5$/);
});

Deno.test("resolveConfig() lets overrides go before the file, and changes neither", () => {
  const value = { train: { steps: 10, batch: 4 }, optimizer: {} };
  const config = resolveConfig(value, { "train.steps": 20, "optimizer.schedule.warmup": 3 });
  assert.deepEqual([config.train.steps, config.train.batch, config.optimizer.schedule.warmup], [20, 4, 3]);
  assert.deepEqual(value, { train: { steps: 10, batch: 4 }, optimizer: {} });
  assert.deepEqual(problemsOf(value, { "train.stepz": 1 }), [
    "train.stepz: unknown; did you mean train.steps?",
  ]);
});

Deno.test("resolveConfig() fills in the lengths of documents: doublings of the group size, then seqLen", () => {
  const lengths = (data: object, groupSize = 64) =>
    resolveConfig({ model: { groupSize }, data }).data.lengths;
  assert.deepEqual(lengths({ seqLen: 256 }), [64, 128, 256]);
  assert.deepEqual(lengths({ seqLen: 300 }), [64, 128, 256, 300]);
  assert.deepEqual(lengths({ seqLen: 16 }), [16]);
  assert.deepEqual(lengths({ seqLen: 256, lengths: [10, 100] }), [10, 100, 256]);
  assert.deepEqual(lengths({ seqLen: 256, lengths: [10, 256] }), [10, 256]);
});

Deno.test("resolveConfig() names folder, run and machine, and needs one worker", () => {
  const { machine } = resolveConfig();
  assert.match(machine.out, /^runs\/\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d$/);
  assert.equal(`runs/${machine.run}`, machine.out);
  assert.match(machine.name, /^[A-Za-z0-9_-]{1,64}$/);
  assert.equal(machine.minWorkers, 1);
  assert.equal(resolveConfig({ machine: { out: "/tmp/my run!/" } }).machine.run, "my-run-");
});

Deno.test("stringifyConfig() writes YAML that gives the same configuration again", () => {
  const config = resolveConfig({
    data: { documents: true, source: "a folder: with #odd 'name'" },
    optimizer: { schedule: { kind: "linear", steps: 7 }, epsilon: 2.5e-9 },
    machine: { device: "cpu", out: "123" },
  });
  assert.deepEqual(resolveConfig(parse(stringifyConfig(config))), config);
  const plain = resolveConfig({});
  assert.deepEqual(resolveConfig(parse(stringifyConfig(plain))), plain);
});

Deno.test("configHash() covers what decides the result, and neither the machine nor where and how the text is read", () => {
  const hash = (value: unknown) => configHash(resolveConfig(value));
  const plain = hash({});
  assert.match(plain, /^[0-9a-f]{64}$/);
  assert.equal(configHash(runPart(resolveConfig({}))), plain);
  assert.equal(
    hash({ machine: { workers: 7, out: "x", backend: "cpu" }, data: { source: "text.txt", raw: true } }),
    plain,
  );
  assert.equal(hash({ log: { tensorboard: true } }), plain);
  assert.ok(!("log" in runPart(resolveConfig({ log: { tensorboard: true } }))));
  assert.equal(configHash(resolveConfig(parse(stringifyConfig(resolveConfig({}))))), plain);
  const others = [
    { model: { dim: 64 } },
    { data: { validation: 0.1 } },
    { train: { seed: 2 } },
    { train: { threads: 2 } },
    { optimizer: { schedule: { warmup: 1 } } },
    { eval: { windows: 1 } },
  ].map(hash);
  assert.equal(new Set([plain, ...others]).size, 7);
});

Deno.test("configHash() does not depend on the order of keys", () => {
  const config = resolveConfig({});
  const reversed = Object.fromEntries(
    Object.entries(config).toReversed().map(([name, section]) => [
      name,
      Object.fromEntries(Object.entries(section).toReversed()),
    ]),
  ) as unknown as Config;
  assert.equal(configHash(reversed), configHash(config));
});

Deno.test("overrideProblems() sees wrong types and unknown keys without a configuration", () => {
  assert.deepEqual(overrideProblems({ "train.steps": "many", "eval.evry": 1, "model.dim": 5 }), [
    'train.steps: expected a whole number of at least 1, found "many"',
    "eval.evry: unknown; did you mean eval.every?",
  ]);
});

Deno.test("configOptions lists every key of a configuration once, each with type and description", () => {
  const leaves = (value: object, parent: string): string[] =>
    Object.entries(value).flatMap(([key, inner]) =>
      typeof inner === "object" && !Array.isArray(inner) ? leaves(inner, `${parent}${key}.`) : [parent + key]
    );
  const config = resolveConfig({
    optimizer: { schedule: { steps: 5 } },
    eval: { samples: [] },
    machine: { device: "cpu" },
  });
  assert.deepEqual(configOptions.map(({ path }) => path).toSorted(), leaves(config, "").toSorted());
  for (const { path, type, description } of configOptions) {
    assert.ok(type !== "" && description.endsWith("."), path);
  }
});

Deno.test("loadConfig() says which file can't be read, and where it stops being YAML", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/broken.yaml`;
    await assert.rejects(loadConfig(path), (error) => {
      return error instanceof ConfigError && error.message.includes(`${path} can't be read`);
    });
    await Deno.writeTextFile(path, "model:\n  dim: 5\n  depth: [1,\ntrain: x: y\n");
    await assert.rejects(loadConfig(path), (error) => {
      return error instanceof ConfigError && /broken\.yaml is not YAML: .*(\(4:|line 4)/.test(error.message);
    });
    await Deno.writeTextFile(path, "train:\n  steps: 1\n  steps: 2\n");
    await assert.rejects(loadConfig(path), /duplicated mapping key/);
    await Deno.writeTextFile(path, "# nothing but a comment\n");
    assert.deepEqual(runPart(resolveConfig(await loadConfig(path))), runPart(resolveConfig({})));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
