import assert from "node:assert/strict";
import {
  type CoordinatorOrder,
  parseCoordinator,
  parseTrain,
  type TrainOrder,
} from "../../src/cli/command_line.ts";
import { configOptions, resolveConfig } from "../../src/config/config.ts";
import { ConfigError } from "../../src/errors.ts";

function problemsOf(parse: (args: string[]) => unknown, ...args: string[]): string[] {
  try {
    parse(args);
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error));
    return [...error.problems];
  }
  return [];
}

const trainOverrides = (...args: string[]) => {
  const order = parseTrain(args);
  assert.ok(order.action === "train");
  return order.overrides;
};

/** What is said of an address without a scheme. */
const UNREADABLE =
  "the address of the NATS server can't be read: there is no nats:// before it; expected nats://HOST:PORT, " +
  "nats://TOKEN@HOST:PORT or nats://USER:PASSWORD@HOST:PORT, with tls:// where the server wants TLS";

Deno.test("parseTrain() without arguments trains with the defaults", () => {
  assert.deepEqual(parseTrain([]), { action: "train", configPath: undefined, overrides: {}, json: false });
});

Deno.test("parseTrain() turns short flags into paths of the configuration", () => {
  const order: TrainOrder = parseTrain([
    ...["my.yaml", "--workers", "2", "--steps=500", "--data", "text.txt", "--out", "runs/a", "--seed", "7"],
    ...["--backend", "cpu", "--run", "demo", "--min-workers", "1", "--json"],
  ]);
  assert.deepEqual(order, {
    action: "train",
    configPath: "my.yaml",
    overrides: {
      "data.source": "text.txt",
      "train.steps": 500,
      "train.seed": 7,
      "machine.workers": 2,
      "machine.minWorkers": 1,
      "machine.out": "runs/a",
      "machine.run": "demo",
      "machine.backend": "cpu",
    },
    json: true,
  });
});

Deno.test("parseTrain() takes every option of the configuration under its own path, with the right type", () => {
  const args = configOptions.flatMap(({ path, default: value }) =>
    value === undefined ? [] : [`--${path}`, `${value}`]
  );
  assert.ok(args.length > 60);
  const config = resolveConfig({}, trainOverrides(...args));
  assert.deepEqual({ ...config, machine: undefined }, { ...resolveConfig(), machine: undefined });
  assert.deepEqual(
    trainOverrides("--data.lengths", "[64, 128]", "--model.causal=true", "--optimizer.learningRate", "1e-4"),
    { "model.causal": true, "data.lengths": [64, 128], "optimizer.learningRate": 1e-4 },
  );
});

Deno.test("parseTrain() takes a list of texts as one text, as it stands, or as a list in YAML", () => {
  const samples = (text: string) => trainOverrides("--eval.samples", text)["eval.samples"];
  assert.deepEqual(samples("War, and: "), ["War, and: "]);
  assert.deepEqual(samples("1984"), ["1984"]);
  assert.deepEqual(samples('["War, and", "To the"]'), ["War, and", "To the"]);
  assert.deepEqual(samples("[]"), []);
  assert.throws(() => trainOverrides("--eval.samples", "[War"), /expected a list of at most 16/);
});

Deno.test("parseTrain() takes an option that is true or false without a value as true", () => {
  const bare = { "data.raw": true, "data.source": "a.xz", "dist.mixed": true };
  assert.deepEqual(trainOverrides("--data.raw", "--data", "a.xz", "--dist.mixed"), bare);
  assert.deepEqual(trainOverrides("--data.raw=false"), { "data.raw": false });
  const order = parseTrain(["--data.raw", "my.yaml"]);
  assert.ok(
    order.action === "train" && order.configPath === "my.yaml" && order.overrides["data.raw"] === true,
  );
  assert.match(problemsOf(parseTrain, "--train.steps").join(), /--train\.steps: a value is missing/);
});

Deno.test("parseTrain() leaves text as it stands, whatever YAML would make of it", () => {
  assert.deepEqual(trainOverrides("--data", "1913", "--out=a=b.c", "--run", "2026-01-01"), {
    "data.source": "1913",
    "machine.out": "a=b.c",
    "machine.run": "2026-01-01",
  });
});

Deno.test("parseTrain() reports everything that is wrong at once", () => {
  const problems = problemsOf(
    parseTrain,
    ...[
      "a.yaml",
      "--stepz",
      "4",
      "--optimizer.learninRate=2",
      "--learning-rate",
      "3",
      "--qqqqqq",
      "--seed",
      "x",
    ],
    ...[
      "--data",
      "x",
      "--data.source",
      "y",
      "--steps",
      "1",
      "--steps",
      "2",
      "--out",
      "--workers",
      "1.5",
      "b.yaml",
    ],
    ...["--train.batch", "[1"],
  );
  assert.deepEqual(
    problems.toSorted(),
    [
      "--stepz: unknown; did you mean --steps?",
      "--optimizer.learninRate: unknown; did you mean --optimizer.learningRate?",
      "--learning-rate: write --optimizer.learningRate",
      "--qqqqqq: unknown",
      "--data.source with --data: they mean the same",
      "--steps: given 2 times",
      "--out: a value is missing; write --out=… for one that begins with a dash",
      "expected one CONFIG.yaml at most, found a.yaml, b.yaml",
      'train.seed: expected a whole number of at least 0, found "x"',
      'train.batch: expected a whole number of at least 1, found "[1"',
      "machine.workers: expected a whole number of at least 0, found 1.5",
    ].toSorted(),
  );
});

Deno.test("parseTrain() resumes a run in its folder and lets single values change", () => {
  assert.deepEqual(parseTrain(["--resume", "runs/a", "--steps", "600", "--json"]), {
    action: "resume",
    folder: "runs/a",
    overrides: { "train.steps": 600 },
    json: true,
  });
  const problems = problemsOf(parseTrain, "my.yaml", "--resume", "runs/a", "--out", "runs/b");
  assert.deepEqual(problems.map((problem) => problem.split(":")[0]), [
    "--resume with my.yaml",
    "--resume with --out",
  ]);
});

Deno.test("parseTrain() joins a run with what concerns this machine, and nothing else", () => {
  const join = ["--join", "nats://token@10.0.0.1:4222", "--run", "demo"];
  assert.deepEqual(parseTrain([...join, "--workers", "2", "--data", "/mnt/text"]), {
    action: "join",
    url: "nats://token@10.0.0.1:4222",
    overrides: { "data.source": "/mnt/text", "machine.workers": 2, "machine.run": "demo" },
    json: false,
  });
  assert.deepEqual(problemsOf(parseTrain, ...join, "--steps", "5", "--model.dim", "64", "my.yaml"), [
    "--join with my.yaml: the run's configuration comes from the coordinator",
    "--join with --model.dim: the run's configuration comes from the coordinator",
    "--join with --steps: the run's configuration comes from the coordinator",
  ]);
  assert.deepEqual(problemsOf(parseTrain, "--join", "10.0.0.1", "--resume", "runs/a"), [
    "--resume with --join: the coordinator decides whether its run is resumed",
    `--join: ${UNREADABLE}`,
    "--join: --run is missing, the name of the run to join",
  ]);
});

Deno.test("parseTrain() does not repeat the token of a wrong URL", () => {
  for (
    const url of [
      "http://secret@host",
      "nats://secret/x@host",
      "nats://user:secret%@host",
      "ws://secret@host",
    ]
  ) {
    const problems = problemsOf(parseTrain, "--join", url, "--run", "demo");
    assert.equal(problems.length, 1);
    assert.match(
      problems[0],
      /^--join: the address of the NATS server can't be read: .*; expected nats:\/\/HOST:PORT/,
    );
    assert.ok(!problems[0].includes("secret"), problems[0]);
  }
});

Deno.test("parseCoordinator() listens on an interface or takes a server that is there", () => {
  const listen = (address: string) => {
    const order: CoordinatorOrder = parseCoordinator(["--listen", address]);
    return order.action === "coordinate" ? order.listen : undefined;
  };
  assert.deepEqual(listen("0.0.0.0:4222"), { hostname: "0.0.0.0", port: 4222 });
  assert.deepEqual(listen("localhost:0"), { hostname: "localhost", port: 0 });
  assert.deepEqual(listen("[::1]:4222"), { hostname: "::1", port: 4222 });
  assert.deepEqual(
    parseCoordinator([
      "my.yaml",
      "--nats",
      "tls://user:word@host:4222",
      "--run",
      "demo",
      "--min-workers",
      "3",
    ]),
    {
      action: "coordinate",
      configPath: "my.yaml",
      overrides: { "machine.minWorkers": 3, "machine.run": "demo" },
      json: false,
      listen: undefined,
      nats: "tls://user:word@host:4222",
      resume: undefined,
    },
  );
});

Deno.test("parseCoordinator() resumes a run, with its own configuration", () => {
  const order = parseCoordinator(["--resume", "runs/a", "--min-workers=2"]);
  assert.ok(order.action === "coordinate");
  assert.deepEqual([order.resume, order.overrides], ["runs/a", { "machine.minWorkers": 2 }]);
  const problems = problemsOf(parseCoordinator, "my.yaml", "--resume", "runs/a", "--out", "runs/b");
  assert.deepEqual(problems.map((problem) => problem.split(":")[0]), [
    "--resume with my.yaml",
    "--resume with --out",
  ]);
});

Deno.test("parseCoordinator() makes a reducer of a run that is elsewhere, and takes nothing that the run decides", () => {
  assert.deepEqual(parseCoordinator(["--reducer", "--nats", "nats://token@host:4222", "--run", "demo"]), {
    action: "reduce",
    url: "nats://token@host:4222",
    overrides: { "machine.run": "demo" },
  });
  assert.deepEqual(
    problemsOf(parseCoordinator, "my.yaml", "--reducer", "--listen", "host:1", "--steps", "3"),
    [
      "--reducer: --nats is missing, the address of the run's NATS server",
      "--reducer: --run is missing, the name of the run to join",
      "--reducer with my.yaml: the coordinator tells a reducer all that it has to know",
      "--reducer with --listen: the coordinator tells a reducer all that it has to know",
      "--reducer with --steps: the coordinator tells a reducer all that it has to know",
    ],
  );
});

Deno.test("parseCoordinator() refuses wrong addresses and flags that are for training", () => {
  for (const address of ["4222", "host", "host:", "host:65536", ":4222", "::1:4222", "a b:1"]) {
    assert.match(
      problemsOf(parseCoordinator, "--listen", address)[0],
      /^--listen: expected HOST:PORT, found "/,
    );
  }
  assert.deepEqual(problemsOf(parseCoordinator, "--listen", "host:1", "--nats", "host:1", "--workers", "3"), [
    "--workers: unknown; did you mean --min-workers?",
    `--nats: ${UNREADABLE}`,
    "--listen with --nats: either a server of its own or one that is there",
  ]);
});

Deno.test("--help lists every option with its default, and each command's own flags", () => {
  for (
    const [parse, flags] of [
      [parseTrain, [
        "resume",
        "join",
        "json",
        "help",
        "workers",
        "steps",
        "data",
        "out",
        "seed",
        "backend",
        "run",
      ]],
      [parseCoordinator, [
        "resume",
        "listen",
        "nats",
        "reducer",
        "json",
        "help",
        "min-workers",
        "run",
        "out",
        "data",
      ]],
    ] as const
  ) {
    const order = parse(["--stepz", "--help"]); // help goes before problems
    assert.ok(order.action === "help");
    for (const flag of flags) assert.match(order.text, new RegExp(`^  --${flag}[ \\n]`, "m"));
    for (const { path, default: value } of configOptions) {
      const shown = value === undefined ? `--${path} ` : `--${path} ${value} `;
      assert.ok(order.text.includes(shown), shown);
    }
    assert.ok(order.text.split("\n").every((line) => line.length <= 80));
  }
  assert.deepEqual(parseTrain(["-h"]), parseTrain(["--help"]));
});

Deno.test("parseTrain() says of a flag that was removed why it is gone", () => {
  assert.deepEqual(problemsOf(parseTrain, "--dist.rounding", "stochastic"), [
    "--dist.rounding: it was removed: int8 always rounds to nearest, and error feedback corrects the rounding errors",
  ]);
});
