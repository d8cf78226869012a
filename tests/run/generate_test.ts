import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { train } from "../../mod.ts";
import { start, startWith } from "./support/commands.ts";
import { Workplace } from "./support/runs.ts";

/** A workplace with a run that has learned a little. */
async function trained(): Promise<Workplace> {
  const place = await Workplace.open();
  await train(place.config("run", { train: { steps: 2 }, checkpoint: { every: 1 } }));
  return place;
}

const OPTIONS = ["--tokens=12", "--seed=4"];

Deno.test("deno task generate continues a prompt, the same way for a run, its checkpoint and its file", async () => {
  await using place = await trained();
  const step = `${place.run("run")}/checkpoints/step-00000002`;
  const texts = new Set<string>();
  for (const path of [place.run("run"), step, `${step}/model.safetensors`]) {
    const { code, stdout, stderr } = await start("generate", path, "--prompt", "the fox é", ...OPTIONS).ended;
    assert.equal(code, 0, stderr);
    texts.add(stdout);
  }
  assert.equal(texts.size, 1);
  assert.match([...texts][0], /^the fox é[^]+\n$/);
});

Deno.test("deno task generate takes its prompts from standard input, and makes several samples", async () => {
  await using place = await trained();
  const command = startWith("one\ntwo", "generate", place.run("run"), "--samples=2", ...OPTIONS);
  const { code, stdout } = await command.ended;
  assert.equal(code, 0);
  assert.match(stdout, /^one[^]+\n---\none[^]+\ntwo[^]+\n---\ntwo[^]+\n$/);
});

Deno.test("deno task generate takes prompts that begin with a dash, or are no UTF-8, and gives them back", async () => {
  await using place = await trained();
  const dashed = await start("generate", place.run("run"), "--prompt", "- item", ...OPTIONS).ended;
  assert.deepEqual([dashed.code, dashed.stdout.slice(0, 6)], [0, "- item"], dashed.stderr);

  const task = fileURLToPath(new URL("../../tools/generate.ts", import.meta.url));
  const generate = async (...args: string[]) => {
    const script = `printf 'caf\\351\\n\\377' | "$0" run -A "$@"`; // latin1
    const sh = new Deno.Command("sh", {
      args: ["-c", script, Deno.execPath(), task, place.run("run"), ...args],
    });
    return (await sh.output()).stdout;
  };
  const [none, some] = [await generate("--tokens=0"), await generate(...OPTIONS)];
  assert.deepEqual([...none], [0x63, 0x61, 0x66, 0xe9, 10, 0xff, 10]);
  assert.deepEqual([...some.subarray(0, 4)], [0x63, 0x61, 0x66, 0xe9]);
  assert.equal(some.length, none.length + 2 * 12, "twelve bytes for each prompt");
});

Deno.test("deno task convert takes back what it wrote without a flag, and the model is the same", async () => {
  await using place = await trained();
  const file = `${place.folder}/weights.safetensors`;
  const convert = async (from: string, to: string) => {
    const { code, stderr } = await start("convert", from, to).ended;
    assert.equal(code, 0, stderr);
  };
  await convert(place.run("run"), file);
  await convert(file, place.run("imported"));
  const losses: number[] = [];
  for (const path of [place.run("run"), file, place.run("imported")]) {
    const flags = ["--data", place.text, "--context=24", "--json"];
    losses.push(JSON.parse((await start("evaluate", path, ...flags).ended).stdout).loss);
  }
  assert.deepEqual(losses.slice(1), [losses[0], losses[0]]);
});

Deno.test("deno task generate passes over a damaged checkpoint with a word", async () => {
  await using place = await trained();
  await Deno.truncate(`${place.run("run")}/checkpoints/step-00000002/model.safetensors`, 100);
  const { code, stdout, stderr } = await start("generate", place.run("run"), "--prompt=a", ...OPTIONS).ended;
  assert.equal(code, 0);
  assert.match(stderr, /passed over a damaged checkpoint: .*step-00000002: model.safetensors is damaged/);
  assert.match(stdout, /^a/);
});

Deno.test("deno task generate says what is wrong with a path", async () => {
  await using place = await Workplace.open();
  const fails = async (path: string, exit: number, words: RegExp) => {
    const { code, stderr } = await start("generate", path, "--prompt=a").ended;
    assert.deepEqual([code, words.test(stderr)], [exit, true], stderr);
  };
  await fails(place.run("nothing"), 2, /nothing: there is no such file or folder/);
  await fails(
    place.folder,
    2,
    /no checkpoint; expected a run's folder, a checkpoint's \(step-…\) or a model/,
  );
  await fails(place.text, 1, /text.txt: .*is it a safetensors file\?/);
});
