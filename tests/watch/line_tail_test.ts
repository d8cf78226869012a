/** Lines of a file that grows. @module */

import assert from "node:assert/strict";
import { LineTail, readSmallFile } from "../../src/watch/line_tail.ts";
import { RunsFolder } from "./support/folders.ts";

/** What a look at the file finds: its lines, after "reset" where it begins anew. */
async function look(tail: LineTail): Promise<string[]> {
  const found: string[] = [];
  await tail.read(() => found.push("reset"), (line) => found.push(line));
  return found;
}

Deno.test("each look gives the lines that were added, and a line only when it is whole", async () => {
  await using folder = await RunsFolder.open();
  const path = `${folder.path}/lines`, tail = new LineTail(path);
  const add = (text: string) => Deno.writeTextFile(path, text, { append: true });
  assert.deepEqual(await look(tail), []);
  await add("one\ntw");
  assert.deepEqual(await look(tail), ["reset", "one"]);
  assert.deepEqual(await look(tail), []);
  await add("o, w\u00e4hrend\n\nthree\n");
  assert.deepEqual(await look(tail), ["two, während", "three"]);
});

Deno.test("a file that was replaced, cut or deleted begins anew", async () => {
  await using folder = await RunsFolder.open();
  const path = `${folder.path}/lines`, tail = new LineTail(path);
  await Deno.writeTextFile(path, "a\nb\n");
  await look(tail);
  await Deno.writeTextFile(`${path}.tmp`, "a\nb\nc\n");
  await Deno.rename(`${path}.tmp`, path);
  assert.deepEqual(await look(tail), ["reset", "a", "b", "c"]);
  await Deno.truncate(path, 2);
  assert.deepEqual(await look(tail), ["reset", "a"]);
  await Deno.remove(path);
  assert.deepEqual(await look(tail), ["reset"]);
  assert.deepEqual(await look(tail), []);
});

Deno.test("letters and lines that lie across two reads arrive whole, and a line that is too long is left out", async () => {
  await using folder = await RunsFolder.open();
  const path = `${folder.path}/lines`;
  const long = "ä".repeat(1024 * 1024), tooLong = "x".repeat(5 * 1024 * 1024);
  await Deno.writeTextFile(path, `begin\n${long}\n${tooLong}\nend\n`);
  const found = await look(new LineTail(path));
  assert.deepEqual(found.map((line) => line.length), [5, 5, long.length, 3]);
  assert.equal(found[2], long);
  assert.equal(found[3], "end");
});

Deno.test("of a long file its end is read, from the first whole line on", async () => {
  await using folder = await RunsFolder.open();
  const path = `${folder.path}/lines`;
  await Deno.writeTextFile(path, Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join(""));
  assert.deepEqual(await look(new LineTail(path, 25)), ["reset", "line 998", "line 999"]);
});

Deno.test("links, folders and pipes are not read", async () => {
  await using folder = await RunsFolder.open();
  const at = (name: string) => `${folder.path}/${name}`;
  await Deno.writeTextFile(at("secret"), "secret\n");
  await Deno.symlink(at("secret"), at("link"));
  await Deno.mkdir(at("folder"));
  await new Deno.Command("mkfifo", { args: [at("pipe")] }).output();
  for (const name of ["link", "folder", "pipe", "secret/inner"]) {
    assert.deepEqual(await look(new LineTail(at(name))), [], name);
    assert.equal(readSmallFile(at(name)), undefined, name);
  }
  assert.equal(readSmallFile(at("secret")), "secret\n");
  assert.equal(readSmallFile(at("secret"), 3), undefined);
});
