import assert from "node:assert/strict";
import { resolveConfig } from "../../../src/config/config.ts";
import { corpusOf } from "../../../src/data/corpus.ts";
import { DATA_BEGINS } from "../../../src/data/microbatch.ts";
import { expectedMemory } from "../../../src/run/replica/expected_memory.ts";
import { runCard } from "../../../src/run/replica/run_card.ts";

const corpus = corpusOf([new Uint8Array(20_001).fill(97)], { validation: 0.05 });

const config = (changes: Record<string, unknown> = {}) =>
  resolveConfig({}, {
    "data.seqLen": 100,
    "train.batch": 4,
    "train.microBatch": 2,
    "train.steps": 95,
    "machine.out": "runs/card",
    "machine.device": "cpu",
    ...changes,
  });

Deno.test("a run's card says what the configuration and the text make", async () => {
  const card = await runCard(config(), corpus, DATA_BEGINS, true);
  assert.deepEqual({ ...card, machine: undefined, model: undefined }, {
    folder: "runs/card",
    run: "card",
    text: { source: "sotu", training: 19_000, validation: 1001, epochs: 380 / 189 },
    batch: { tokens: 400, microBatches: 2 },
    machine: undefined,
    model: undefined,
  });
  assert.equal(card.model.bytes, 4 * card.model.parameters);
  const { memory, ...machine } = card.machine!;
  assert.deepEqual(machine, { workers: 4, device: "cpu", threads: 1 });
  assert.ok(memory! > 500e6 && memory! < 1e9);
});

Deno.test("a card counts the epochs of a run that is resumed with another batch, and a coordinator has no machine", async () => {
  const origin = { step: 45, samples: 180 };
  const card = await runCard(config({ "train.batch": 8 }), corpus, origin, false);
  assert.equal(card.text.epochs, (180 + 50 * 8) / 189);
  assert.equal(card.machine, undefined);
});

Deno.test("expectedMemory() is within 7 % of the peaks that were measured", () => {
  const peak = (model: object, parameters: number, tokens: number) =>
    expectedMemory(resolveConfig({ model }).model, { parameters, tokens, text: 12.2e6 });
  const large = { dim: 512, depth: 8, queryKeyDim: 128, groupSize: 256 };
  const measured: [expected: number, bytes: number][] = [
    [peak({}, 532_000, 1024), 743e6],
    [peak({}, 532_000, 4096), 943e6],
    [peak({ dim: 256 }, 1_770_000, 256), 761e6],
    [peak(large, 13_400_601, 256), 1392e6],
    [peak(large, 13_400_601, 1024), 1699e6],
    [peak(large, 13_400_601, 2048), 2047e6],
    [peak({ dim: 768, depth: 12, queryKeyDim: 128, groupSize: 128 }, 44_000_000, 512), 3418e6],
  ];
  for (const [expected, bytes] of measured) {
    assert.ok(Math.abs(expected / bytes - 1) < 0.07, `${expected} for ${bytes}`);
  }
});
