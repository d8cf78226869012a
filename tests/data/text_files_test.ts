import assert from "node:assert/strict";
import { TextFolder } from "./texts.ts";

/** Milliseconds in which a folder with a pipe has to be read: it hung for ever. */
const SOON = 20_000;

async function soon<T>(promise: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("it hangs")), SOON);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

Deno.test("only the regular files of a folder are read; pipes, sockets, devices and links to nothing are left out and told", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "a.txt": "first", "c.txt": "third", "below/b.txt": "second" });
  await folder.shell("mkfifo pipe below/pipe; ln -s nowhere broken; ln -s round round; ln -s /dev/zero zero");
  using _socket = Deno.listen({ transport: "unix", path: `${folder.path}/socket` });
  assert.equal(await soon(folder.read()), "first\nsecond\nthird");
  assert.equal(folder.told.length, 1);
  for (
    const left of [
      /below\/pipe \(a pipe\)/,
      /\/pipe \(a pipe\)/,
      /broken \(a link to nothing\)/,
      /round \(a link in a circle\)/,
      /zero \(a device\)/,
      /socket \(a socket\)/,
    ]
  ) assert.match(folder.told[0], left);
});

Deno.test("links to files and folders are followed, and links in a circle end", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "text/a.txt": "first", "text/below/b.txt": "second", "elsewhere/c.txt": "third" });
  await folder.shell(
    "ln -s ../elsewhere text/c; ln -s ../elsewhere/c.txt text/d.txt; ln -s . text/self; ln -s .. text/below/up; ln -s ../text elsewhere/back",
  );
  assert.equal(await folder.read("text"), "first\nsecond\nthird\nthird");
  assert.match(folder.told.join(), /text\/self \(a link to a folder that it is in\)/);
  assert.match(folder.told.join(), /text\/c\/back \(a link to a folder that it is in\)/);
});

Deno.test("many things that are left out are counted", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "a.txt": "text" });
  await folder.shell("for i in 1 2 3 4 5 6 7 8 9 10; do ln -s nowhere $i; done");
  assert.equal(await folder.read(), "text");
  assert.match(folder.told.join(), /\(a link to nothing\) and 2 more$/);
});

Deno.test("a text that is a pipe, a device, a socket or a broken link is refused, and says what to do", async () => {
  await using folder = await TextFolder.open();
  await folder.shell("mkfifo pipe; ln -s pipe link; ln -s nowhere broken; ln -s round round");
  using _socket = Deno.listen({ transport: "unix", path: `${folder.path}/socket` });
  const refuses = (name: string, ...words: RegExp[]) => soon(folder.refuses(name, ...words));
  await refuses(
    "pipe",
    /pipe is a pipe, which can be read once, .* write it into a file first \(COMMAND > FILE\)/,
  );
  await refuses("link", /link is a pipe/);
  await refuses("broken", /broken is a link to nothing/);
  await refuses("round", /round is a link in a circle/);
  await refuses("socket", /socket is a socket, and no file/);
  await refuses("../".repeat(20) + "dev/zero", /dev\/zero is a device, and no file/);
  await refuses("../".repeat(20) + "dev/null", /dev\/null is a device, and no file/);
});

Deno.test("a folder in which nothing is a file is empty, and so is one whose files are", async () => {
  await using folder = await TextFolder.open();
  await folder.shell("mkfifo pipe; ln -s . self");
  await soon(folder.refuses("", /is empty/));
  await folder.write({ "a.txt": "", "b.txt": "" });
  await folder.refuses("", /is empty/);
  await folder.refuses("a.txt", /a\.txt is empty/);
});

Deno.test("a file that can't be read is rejected with its name", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "a.txt": "text" });
  await folder.shell("printf text > \"$(printf 'b\\377.txt')\""); // a name that no string has, as one that was just removed
  await folder.refuses("", /b.*\.txt is named in its folder and is not there: .* or its name is not UTF-8/);
  await folder.refuses("a".repeat(300), /data\.source: .*aaa can't be read: .*name too long/i);
  await folder.refuses("a\0b", /can't be read/);
});

Deno.test({
  name: "what permissions forbid is rejected with its name",
  permissions: { read: [], env: true, sys: true }, // the kernel forbids nothing to root
  fn: async () => {
    const { loadCorpus } = await import("../../src/data/corpus.ts");
    await assert.rejects(
      loadCorpus("README.md", { validation: 0.5 }),
      { name: "ConfigError", message: /README\.md can't be read: Requires read access/ },
    );
  },
});

Deno.test("a file that is larger than memory is refused before it is read", async () => {
  await using folder = await TextFolder.open();
  await folder.shell("truncate -s 4T sparse.txt");
  await folder.refuses("sparse.txt", /has 4096\.0 GiB, and \d+\.\d GiB of memory are free/);
  await folder.write({ "a.txt": "text" });
  await folder.refuses("", /has 4096\.0 GiB/);
});
