import assert from "node:assert/strict";
import { replaceEvents } from "../../src/tensorboard/event_files.ts";
import { scalars } from "../../src/tensorboard/events.ts";
import { eventFilesIn, eventsIn, valuesIn } from "./read_events.ts";

const point = (step: number) => scalars({ step, time: 1000 + step }, { loss: step / 2 });
const stepsIn = (path: string) => valuesIn(path).map(({ step }) => step);

Deno.test("each start writes the history into a file of its own, which comes after the others and alone counts", async () => {
  const folder = await Deno.makeTempDir();
  for (const [start, steps] of [[1, 2], [1, 2, 3], [1]].entries()) { // within a second
    using writer = replaceEvents(folder, steps.map(point));
    writer.write(point(9));
    const files = eventFilesIn(folder);
    assert.equal(files.length, 1);
    assert.deepEqual(stepsIn(files[0]), [...steps, 9]);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    assert.equal(names.length, Math.min(start + 1, 2), names.join());
    assert.ok(files[0].endsWith(names.at(-1)!));
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("what still has an earlier file open changes nothing", async () => {
  const folder = await Deno.makeTempDir();
  using frozen = replaceEvents(folder, []);
  using writer = replaceEvents(folder, [point(1)]);
  frozen.write(point(7));
  writer.write(point(2));
  assert.deepEqual(eventFilesIn(folder).map(stepsIn), [[1, 2]]);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a start that fails leaves the events as they were", async () => {
  const folder = await Deno.makeTempDir();
  replaceEvents(folder, [point(1)])[Symbol.dispose]();
  const torn = function* () {
    yield point(1);
    throw new Error("no history");
  };
  assert.throws(() => replaceEvents(folder, torn()), /no history/);
  const [file] = eventFilesIn(folder);
  assert.deepEqual(stepsIn(file), [1]);
  assert.equal([...eventsIn(file)].length, 3, "version, start of the session, and the point");
  await Deno.remove(folder, { recursive: true });
});
