import assert from "node:assert/strict";
import { FolderLock } from "../../../src/run/folder/lock.ts";
import { reach, SMALL, start, train } from "../support/commands.ts";
import { Workplace } from "../support/runs.ts";

const TIMES = { renewal: 20, stale: 200 };

/** What a holder on another machine writes. */
const foreign = (beat: number) =>
  JSON.stringify({ pid: 7, host: "left", boot: "another", since: "2026-11-27T00:00:00Z", beat });

Deno.test("a folder's lock is held once, said by whom, and free again when it is given back", async () => {
  await using place = await Workplace.open();
  const path = `${place.folder}/run.lock`;
  {
    using _lock = await FolderLock.take(place.folder, { times: TIMES });
    await assert.rejects(
      FolderLock.take(place.folder),
      new RegExp(`process ${Deno.pid} on \\S+ \\(since 20.*\\) is using this run's folder`),
    );
  }
  assert.throws(() => Deno.statSync(path), Deno.errors.NotFound);
  (await FolderLock.take(place.folder))[Symbol.dispose]();
});

Deno.test("of two that take a lock at once one gets it, however often", async () => {
  await using place = await Workplace.open();
  for (let i = 0; i < 30; i++) {
    const all = await Promise.allSettled([1, 2, 3].map(() => FolderLock.take(place.folder)));
    const taken = all.flatMap((each) => each.status === "fulfilled" ? [each.value] : []);
    assert.ok(taken.length >= 1);
    assert.equal(taken.length, 1);
    taken[0][Symbol.dispose]();
  }
});

Deno.test("a holder on another machine keeps the lock while its heartbeat rises, and is replaced where it does not", async () => {
  await using place = await Workplace.open();
  const path = `${place.folder}/run.lock`;
  Deno.writeTextFileSync(path, foreign(0));
  let beat = 0;
  const timer = setInterval(() => Deno.writeTextFileSync(path, foreign(++beat)), 20);
  try {
    await assert.rejects(FolderLock.take(place.folder, { times: TIMES }), /process 7 on left .* is using/);
  } finally {
    clearInterval(timer);
  }
  const words: string[] = [];
  using _lock = await FolderLock.take(place.folder, { times: TIMES, say: (text) => void words.push(text) });
  assert.match(words.join(), /process 7 on left .* waiting 0.2 s/);
});

Deno.test("a holder whose lock another machine has taken ends", async () => {
  await using place = await Workplace.open();
  using lock = await FolderLock.take(place.folder, { times: TIMES });
  Deno.writeTextFileSync(`${place.folder}/run.lock`, foreign(3));
  const late = setTimeout(() => {}, 5000); // the lock's own timer keeps no process alive
  await assert.rejects(lock.lost, /process 7 on left .* has taken the lock/);
  clearTimeout(late);
});

Deno.test("an empty or torn lock file, left by a full disk, names no holder", async () => {
  await using place = await Workplace.open();
  for (const text of ["", '{"pid": 7', "null"]) {
    Deno.writeTextFileSync(`${place.folder}/run.lock`, text);
    (await FolderLock.take(place.folder, { times: TIMES }))[Symbol.dispose]();
  }
});

Deno.test("the second of two starts in one folder is rejected, whichever they are; a killed one's folder is free", async () => {
  await using place = await Workplace.open();
  const first = train(place, "run", "--steps=100000", "--workers=0", "--backend=cpu", "--checkpoint.every=2");
  await reach(place, "run", 3);
  for (
    const args of [
      ["train", "--resume", place.run("run"), "--workers=0", "--backend=cpu"],
      ["coordinator", "--resume", place.run("run")],
      ["train", ...SMALL, `--data=${place.text}`, `--out=${place.run("run")}`],
    ] as const
  ) {
    const [task, ...rest] = args;
    const { code, stderr } = await start(task, ...rest).ended;
    assert.equal(code, 2, stderr);
    assert.match(stderr, new RegExp(`process ${first.pid} on .* is using this run's folder`));
  }
  first.kill("SIGKILL");
  await first.ended;
  const resumed = await start(
    "train",
    "--resume",
    place.run("run"),
    "--steps=4",
    "--workers=0",
    "--backend=cpu",
  ).ended;
  assert.equal(resumed.code, 0, resumed.stderr);
});
