import assert from "node:assert/strict";
import { checkFiles, readStateFile } from "../../src/checkpoint/files.ts";
import { reasonNotToMount, start, startMounted } from "./support/commands.ts";
import { metricsOf, Workplace } from "./support/runs.ts";

const SETTINGS = [
  ...["--model.dim=16", "--model.depth=2", "--model.groupSize=8", "--model.queryKeyDim=8"],
  ...["--data.seqLen=24", "--train.batch=6", "--eval.windows=5", "--eval.every=0", "--checkpoint.every=1"],
  "--optimizer.schedule.kind=constant",
];

const problem = await reasonNotToMount();
if (problem) console.log(`ignored: tests of full and read-only disks, which have to be mounted: ${problem}`);

function diskTest(name: string, test: (place: Workplace) => Promise<void>): void {
  Deno.test({
    name: problem ? `${name} (can't mount here: ${problem})` : name,
    ignore: problem !== undefined,
    fn: async () => {
      await using place = await Workplace.open();
      await test(place);
    },
  });
}

const begin = (place: Workplace, name: string, ...args: string[]) =>
  ["train", ...SETTINGS, `--data=${place.text}`, `--out=${place.run(name)}`, ...args] as const;

const hashOf = (place: Workplace, name: string) =>
  JSON.parse(Deno.readTextFileSync(`${place.run(name)}/summary.json`)).paramsHash;

/** An undisturbed run of six steps; returns the size of its checkpoint in KiB. */
async function undisturbed(place: Workplace): Promise<number> {
  const args = begin(place, "alone", "--workers=0", "--steps=6", "--checkpoint.keepLast=1");
  assert.equal((await start(...args).ended).code, 0);
  const { stdout } = await new Deno.Command("du", { args: ["-sk", `${place.run("alone")}/checkpoints`] })
    .output();
  return parseInt(new TextDecoder().decode(stdout));
}

/** The checkpoints of steps 1 and 2 are there, complete, and nothing else. */
async function assertTwo(folder: string): Promise<void> {
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  assert.deepEqual(names, ["step-00000001", "step-00000002"]);
  for (const name of names) await checkFiles(`${folder}/${name}`, await readStateFile(`${folder}/${name}`));
}

for (const workers of [0, 2]) {
  diskTest(
    `a disk that is full: a run of ${workers} workers continues, loses nothing, and fails at its end`,
    async (place) => {
      const kilobytes = await undisturbed(place);
      await Deno.mkdir(place.run("full"));
      const mount = `mount -t tmpfs -o size=${Math.ceil(2.6 * kilobytes)}k none ${place.run("full")}`;
      const after = `cp -a ${place.run("full")} ${place.run("copy")}`;
      const args = begin(place, "full", `--workers=${workers}`, "--steps=6", "--checkpoint.keepLast=9");
      const { code, stderr } = await startMounted(mount, after, ...args).ended;
      assert.equal(code, 1, stderr);
      for (const step of [3, 4, 5]) {
        assert.match(
          stderr,
          new RegExp(`the run continues from step ${step} without its checkpoint: .*No space left`),
        );
      }
      assert.match(stderr, /the state after step 6, the last, is lost: .*No space left on device/);
      assert.doesNotMatch(
        stderr,
        / left( \(|,)|restarting it/,
        "no member was evicted, and none tried in vain",
      );
      assert.equal(metricsOf(place.run("copy")).steps.length, 6);
      await assertTwo(`${place.run("copy")}/checkpoints`);
      assert.equal((await start("train", "--resume", place.run("copy"), "--workers=0").ended).code, 0);
      assert.equal(hashOf(place, "copy"), hashOf(place, "alone"), "it continued from step 2");
    },
  );
}

diskTest("a disk on which not even the metrics have space ends the run with an error", async (place) => {
  await Deno.mkdir(place.run("full"));
  const mount = `mount -t tmpfs -o size=16k none ${place.run("full")}`;
  const { code, stderr } = await startMounted(
    mount,
    "true",
    ...begin(place, "full", "--workers=0", "--steps=1000"),
  )
    .ended;
  assert.equal(code, 1, stderr);
  assert.match(
    stderr,
    /The (metrics|record) of step \d+ can't be written to .*(metrics|record).jsonl: No space left on device/,
  );
});

diskTest(
  "a folder of checkpoints that turned read-only stays as it is, and the run fails at its end",
  async (place) => {
    await undisturbed(place);
    assert.equal((await start(...begin(place, "run", "--workers=0", "--steps=2")).ended).code, 0);
    const folder = `${place.run("run")}/checkpoints`;
    const mount = `mount --bind ${folder} ${folder} && mount -o remount,bind,ro ${folder}`;
    const resume = ["train", "--resume", place.run("run"), "--steps=6"] as const;
    const { code, stderr } = await startMounted(mount, "true", ...resume, "--workers=2").ended;
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      /from step 3 without its checkpoint: .*Read-only file system.*before it are untouched/,
    );
    assert.match(stderr, /the state after step 6, the last, is lost: .*Read-only/);
    assert.doesNotMatch(stderr, /restarting it/);
    await assertTwo(folder);
    assert.equal((await start(...resume, "--workers=0").ended).code, 0);
    assert.equal(hashOf(place, "run"), hashOf(place, "alone"));
  },
);

diskTest("a read-only folder is named when a run begins or resumes in it", async (place) => {
  assert.equal((await start(...begin(place, "run", "--workers=0", "--steps=2")).ended).code, 0);
  const mount = `mount --bind ${place.folder} ${place.folder} && mount -o remount,bind,ro ${place.folder}`;
  const created = await startMounted(mount, "true", ...begin(place, "new", "--workers=0")).ended;
  assert.equal(created.code, 2);
  assert.match(created.stderr, /machine.out: .*new can't be written to \(Read-only file system/);
  const resumed = await startMounted(
    mount,
    "true",
    "train",
    "--resume",
    place.run("run"),
    "--workers=0",
    "--steps=3",
  )
    .ended;
  assert.equal(resumed.code, 2);
  assert.match(resumed.stderr, /machine.out: .*run can't be written to \(Read-only file system/);
  assert.equal(metricsOf(place.run("run")).steps.length, 2);
});
