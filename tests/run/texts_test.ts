import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { train as trainHere } from "../../mod.ts";
import { readModel } from "../../src/trained/model.ts";
import { PACKED } from "../data/archives.ts";
import { SMALL, start, startWith } from "./support/commands.ts";
import { Workplace } from "./support/runs.ts";

Deno.test("all processes of a run read the same of a folder, and what is left out is told once", async () => {
  await using place = await Workplace.open();
  const folder = `${place.folder}/texts`;
  await Deno.mkdir(folder);
  await Deno.writeFile(`${folder}/book.GZ`, gzipSync(await Deno.readFile(place.text)));
  await new Deno.Command("mkfifo", { args: [`${folder}/pipe`] }).output();
  await Deno.symlink(".", `${folder}/self`);
  const told = await trainOn(folder, place.run("run"), "--workers=1");
  assert.deepEqual(told.match(/left out:/g), ["left out:"], told);
  assert.doesNotMatch(await trainOn(place.text, place.run("plain"), "--workers=0"), /left out/);
  assert.equal(await paramsHash(place.run("run")), await paramsHash(place.run("plain")));
});

for (const path of ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"]) {
  Deno.test(`a text from ${path} is rejected, with a message that says what to do`, async () => {
    await using place = await Workplace.open();
    const { code, stderr } = await startWith("a text", "train", `--data=${path}`, `--out=${place.run("run")}`)
      .ended;
    assert.equal(code, 2, stderr);
    assert.match(
      stderr,
      /is a pipe, which can be read once, .* write it into a file first \(COMMAND > FILE\)/,
    );
    assert.deepEqual([...Deno.readDirSync(place.folder)].map(({ name }) => name), ["text.txt"]);
  });
}

Deno.test("a text that can't be read is rejected by coordinator and evaluate, too", async () => {
  await using place = await Workplace.open();
  const packed = `${place.folder}/book.xz`;
  await Deno.writeFile(packed, PACKED.xz);
  await trainHere(place.config("run", { train: { steps: 1 }, machine: { backend: "cpu" } }));
  const commands = {
    coordinator: start("coordinator", `--data=${packed}`, `--out=${place.run("other")}`),
    evaluate: start("evaluate", place.run("run"), `--data=${packed}`),
  };
  for (const [name, { ended }] of Object.entries(commands)) {
    const { code, stderr } = await ended;
    assert.equal(code, 2, `${name}: ${stderr}`);
    assert.match(
      stderr,
      /book\.xz is packed with xz: unpack it first \(xz -dk FILE\); --data\.raw trains on/,
      name,
    );
  }
});

Deno.test("with data.raw a packed text is trained on as it is, resumed, and known from the model", async () => {
  await using place = await Workplace.open();
  const packed = `${place.folder}/book.xz`;
  await Deno.writeFile(packed, new Uint8Array([...PACKED.xz, ...await Deno.readFile(place.text)]));
  const config = (steps: number) =>
    place.config("run", {
      data: { source: packed, raw: true },
      train: { steps },
      machine: { backend: "cpu" },
    });
  await trainHere(config(1));
  assert.match(await Deno.readTextFile(`${place.run("run")}/config.yaml`), /raw: true/);
  assert.equal((await trainHere(config(2), { resume: true })).steps, 2);
  assert.equal((await readModel(place.run("run"), assert.fail)).trainedRaw, true);
});

/** Trains for a step; what it told on standard error. */
async function trainOn(data: string, out: string, workers: string): Promise<string> {
  const args = [...SMALL, "--backend=cpu", "--steps=1", workers, `--data=${data}`, `--out=${out}`];
  const { code, stderr } = await start("train", ...args).ended;
  assert.equal(code, 0, stderr);
  return stderr;
}

async function paramsHash(folder: string): Promise<string> {
  return JSON.parse(await Deno.readTextFile(`${folder}/summary.json`)).paramsHash;
}
