import assert from "node:assert/strict";
import { breathe, reportSlow, SlowPace } from "../src/slow_work.ts";

Deno.test("a line is due after 3 seconds, then every 10", () => {
  let now = 0;
  const pace = new SlowPace(() => now);
  const due: number[] = [];
  for (; now <= 30_000; now += 500) if (pace.isDue()) due.push(now);
  assert.deepEqual(due, [3000, 13_000, 23_000]);
});

Deno.test("reportSlow() says what slow work is doing, and nothing of quick work", async () => {
  const lines: string[] = [];
  const say = (line: string) => lines.push(line);
  const quick = await reportSlow(say, (at) => {
    at(() => "never said");
    return Promise.resolve(3);
  });
  assert.deepEqual([quick, lines], [3, []]);

  let now = 0;
  await reportSlow(say, async (at) => {
    for (let step = 1; lines.length < 2; step++, now += 2000) {
      at(() => "counts");
      await breathe();
    }
  }, new SlowPace(() => now));
  assert.deepEqual(lines, ["counts", "counts"]);
  await assert.rejects(reportSlow(say, () => Promise.reject(new RangeError("its own"))), /its own/);
});
