import assert from "node:assert/strict";
import { crc32, gzipSync, zstdCompressSync } from "node:zlib";
import { Room } from "../../src/data/room.ts";
import { textsIn } from "../../src/data/unpack.ts";
import { PACKED, TEXT } from "./archives.ts";
import { encode, TextFolder } from "./texts.ts";

const joined = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
const gzip = (text: string | Uint8Array) =>
  new Uint8Array(gzipSync(typeof text === "string" ? encode(text) : text));
const zstd = (text: string) => new Uint8Array(zstdCompressSync(encode(text)));

/** A copy with one bit of each of these bytes turned. */
function damage(bytes: Uint8Array, ...places: number[]): Uint8Array {
  return changed(bytes, Object.fromEntries(places.map((place) => [place, bytes[place] ^ 1])));
}

/** A copy with other bytes at these places. */
function changed(bytes: Uint8Array, others: Record<number, number>): Uint8Array {
  return Object.assign(bytes.slice(), others);
}

Deno.test("a zip archive is read whatever wrote it: with a comment, streamed, in zip64, stored, with bytes before it", async () => {
  await using folder = await TextFolder.open();
  for (const name of ["commentZip", "streamedZip", "zip64", "storedZip"] as const) {
    await folder.write({ [name]: PACKED[name], "padded.zip": joined(PACKED[name], new Uint8Array(50)) });
    assert.equal(await folder.read(name), TEXT, name);
    assert.equal(await folder.read("padded.zip"), TEXT, `${name}, padded`);
  }
});

Deno.test("the files of a zip archive are those of a folder: sorted, without what macOS adds, each a document", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "mac.zip": PACKED.macZip, "unpacked/c.txt": "third", "unpacked/b/x.txt": "second" });
  await folder.write({ "unpacked/a.txt": "first", "both/0.txt": "zeroth", "both/mac.zip": PACKED.macZip });
  const [zip, unpacked] = [await folder.load("mac.zip"), await folder.load("unpacked")];
  assert.deepEqual(zip, unpacked);
  assert.equal(await folder.read("mac.zip"), "first\nsecond\nthird");
  assert.equal(await folder.read("both"), "zeroth\nfirst\nsecond\nthird");
  const { documents } = await folder.load("mac.zip", { documents: true });
  assert.equal(documents!.train.length + documents!.validation.length, 3);
});

Deno.test("of a zip archive with one file each line is a document, as of a file", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "lines.zip": PACKED.linkZip });
  const { documents } = await folder.load("lines.zip", { documents: true });
  assert.equal(documents!.train.length + documents!.validation.length, 1);
});

Deno.test("links in a zip archive are left out and told", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "link.zip": PACKED.linkZip });
  assert.equal(await folder.read("link.zip"), "text");
  assert.match(folder.told.join(), /left out: passwords \(a link\) in .*link\.zip/);
});

Deno.test("a damaged zip archive is refused: a wrong CRC, changed bytes, a wrong size, an end that is missing", async () => {
  await using folder = await TextFolder.open();
  const { commentZip, storedZip } = PACKED;
  const directory = joined(commentZip).findIndex((_, i) =>
    commentZip.subarray(i, i + 4).join() === "80,75,1,2"
  );
  await folder.write({
    "crc.zip": damage(commentZip, 14, directory + 16),
    "stored.zip": damage(storedZip, 100),
    "deflated.zip": damage(commentZip, 40),
    "less.zip": changed(commentZip, { 22: 9, [directory + 24]: 9 }),
    "more.zip": changed(commentZip, { 22: 241, [directory + 24]: 241 }),
    "short.zip": commentZip.subarray(0, 100),
    "text.zip": "a page that says that the file is not there",
    "empty.zip": "",
  });
  await folder.refuses("crc.zip", /data\.source: .*crc\.zip can't be unpacked \(.*CRC.*\): fetch it again/);
  await folder.refuses("stored.zip", /can't be unpacked \(.*CRC/);
  await folder.refuses("deflated.zip", /can't be unpacked/);
  await folder.refuses("less.zip", /can't be unpacked \(/);
  await folder.refuses("more.zip", /can't be unpacked \(/);
  await folder.refuses("short.zip", /can't be unpacked \(End of central directory not found\)/);
  await folder.refuses("text.zip", /by its name it is packed with zip, by its first bytes it is not/);
  await folder.refuses("empty.zip", /by its first bytes it is not/);
});

Deno.test("an encrypted zip archive, one of another method, with a name twice or a document's is refused", async () => {
  await using folder = await TextFolder.open();
  await folder.write({
    "secret.zip": PACKED.encryptedZip,
    "lzma.zip": PACKED.lzmaZip,
    "report.docx": PACKED.docx,
  });
  await folder.refuses(
    "secret.zip",
    /secret\.zip is encrypted: unpack it first, with its password \(unzip FILE\)/,
  );
  await folder.refuses("lzma.zip", /can't be unpacked \(Compression method not supported\).*unzip FILE/);
  await folder.write({ "twice.zip": PACKED.twiceZip });
  await folder.refuses("twice.zip", /twice\.zip holds a\.txt twice: unpack it first/);
  await folder.refuses("report.docx", /report\.docx is an Office document, no text/);
});

Deno.test("a file in an archive is looked at as one in a folder is", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "books.zip": PACKED.nestedZip, "archive.tar.gz": gzip(PACKED.tarHead) });
  await folder.write({ "twice.gz": gzip(gzip(TEXT)), "zipped.gz": gzip(PACKED.macZip) });
  await folder.write({ "deep.gz": [1, 2, 3, 4].reduce((inner) => gzip(inner), encode(TEXT)) });
  await folder.refuses("books.zip", /books\.zip holds b\.xz, which is packed with xz: unpack it first/);
  await folder.refuses("archive.tar.gz", /is packed with tar: unpack it first \(.*tar -xf FILE/);
  assert.equal(await folder.read("twice.gz"), TEXT);
  assert.equal(await folder.read("zipped.gz"), "first\nsecond\nthird");
  await folder.refuses("deep.gz", /is packed more than 3 times over/);
});

Deno.test("a gzip file of several members, or with padding, is read whole", async () => {
  await using folder = await TextFolder.open();
  await folder.write({
    "members.gz": joined(gzip("one "), gzip("two "), gzip(""), gzip("three")),
    "padded.gz": joined(gzip("one "), gzip("two"), new Uint8Array(1000)),
  });
  assert.equal(await folder.read("members.gz"), "one two three");
  assert.equal(await folder.read("padded.gz"), "one two");
});

Deno.test("a damaged gzip file is refused, in any of its members", async () => {
  await using folder = await TextFolder.open();
  const good = gzip(TEXT), end = good.length;
  await folder.write({
    "short.gz": good.subarray(0, end - 9),
    "trailer.gz": good.subarray(0, end - 4),
    "crc.gz": damage(good, end - 8),
    "length.gz": damage(good, end - 4),
    "second.gz": joined(good, damage(good, end - 8)),
    "half.gz": joined(good, good.subarray(0, 15)),
    "garbage.gz": joined(good, encode("garbage")),
    "behind.gz": joined(good, new Uint8Array(100), good), // a second member that gzip -d does not read either
    "text.gz": "plain text",
    "folder/a.txt": "text",
    "folder/b.gz": good.subarray(0, end - 4),
  });
  for (const name of ["short.gz", "trailer.gz", "half.gz"]) {
    await folder.refuses(
      name,
      new RegExp(`${name} can't be unpacked \\(unexpected end of file\\): fetch it again`),
    );
  }
  for (const name of ["crc.gz", "length.gz", "second.gz"]) {
    await folder.refuses(name, /unpacked \(incorrect .* check\)/);
  }
  await folder.refuses("garbage.gz", /can't be unpacked/);
  await folder.refuses("behind.gz", /can't be unpacked \(something else follows its members\)/);
  await folder.refuses("text.gz", /by its name it is packed with gzip, by its first bytes it is not/);
  await folder.refuses("folder", /folder\/b\.gz can't be unpacked/);
});

Deno.test("what is packed is told by its first bytes, whatever its name", async () => {
  await using folder = await TextFolder.open();
  await folder.write({
    "BOOK.GZ": gzip(TEXT),
    "book": gzip(TEXT),
    "book.txt": PACKED.commentZip,
    "b.zst": PACKED.zst,
  });
  for (const name of ["BOOK.GZ", "book", "book.txt", "b.zst"]) {
    assert.equal(await folder.read(name), TEXT, name);
  }
});

Deno.test("a zstd file is read with all its frames, of any kind", async () => {
  await using folder = await TextFolder.open();
  const skippable = Uint8Array.of(0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
  const long = "all work and no play, ".repeat(50_000); // several blocks
  await folder.write({
    "frames.zst": joined(zstd("one "), zstd(""), zstd("two "), PACKED.zst),
    "skippable.zst": joined(skippable, zstd("one "), skippable, zstd("two"), skippable),
    "long.zst": joined(zstd(long), zstd("!")),
  });
  assert.equal(await folder.read("frames.zst"), `one two ${TEXT}`);
  assert.equal(await folder.read("skippable.zst"), "one two");
  assert.equal(await folder.read("long.zst"), `${long}!`);
});

Deno.test("a damaged zstd file is refused, in any of its frames", async () => {
  await using folder = await TextFolder.open();
  const { zst } = PACKED;
  for (let length = 1; length < zst.length; length++) {
    if (length >= 4) await folder.write({ "short.zst": joined(zst, zst.subarray(0, length)) });
    else await folder.write({ "short.zst": zst.subarray(0, 3 + length) });
    await folder.refuses("short.zst", /short\.zst can't be unpacked/);
  }
  await folder.write({
    "sum.zst": damage(zst, zst.length - 1),
    "garbage.zst": joined(zst, encode("garbage")),
  });
  await folder.refuses("sum.zst", /can't be unpacked \(.*checksum/);
  await folder.refuses("garbage.zst", /can't be unpacked \(something else follows its frames\)/);
});

Deno.test("what nothing here unpacks is rejected with its name, and the command that does", async () => {
  await using folder = await TextFolder.open();
  const { xz, lzma, bz2, emptyBz2, lz4, tarHead, posixTarHead } = PACKED;
  const refused = {
    xz: [xz],
    lzma: [lzma],
    bzip2: [bz2, emptyBz2],
    lz4: [lz4],
    tar: [tarHead, posixTarHead],
  };
  for (const [name, files] of Object.entries(refused)) {
    for (const file of files) {
      await folder.write({ file });
      await folder.refuses(
        "file",
        new RegExp(`file is packed with ${name}: unpack it first \\(.*FILE.*--data\\.raw`),
      );
    }
  }
  await folder.write({ "a.tar": "text", "a.br": "text", "a.XZ": "text", "a.7z": "text", "a.Z": "text" });
  await folder.refuses("a.tar", /by its name it is packed with tar, by its first bytes it is not/);
  await folder.refuses("a.br", /is packed with brotli: unpack it first \(brotli -d FILE\)/);
  for (const name of ["a.XZ", "a.7z", "a.Z"]) await folder.refuses(name, /by its first bytes it is not/);
});

Deno.test("binary files that are no texts are refused by the name of their format", async () => {
  await using folder = await TextFolder.open();
  const named: Record<string, string | Uint8Array> = {
    "a PDF": "%PDF-1.7\n",
    "a Parquet file": "PAR1\x15\x04",
    "an SQLite database": "SQLite format 3\0",
    "a PNG image": Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    "a JPEG image": Uint8Array.of(0xff, 0xd8, 0xff, 0xe0),
    "a NumPy array": Uint8Array.of(0x93, ...encode("NUMPY"), 1, 0),
    "an Arrow file": "ARROW1\0\0",
    "a program": "\x7fELF\x02",
    "7z": Uint8Array.of(0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c),
    "rar": "Rar!\x1a\x07\x00",
    "a safetensors file": await Deno.readFile("tests/fixtures/gau_causal_relu2.safetensors"),
  };
  for (const [name, bytes] of Object.entries(named)) {
    await folder.write({ "a.txt": "text", "b": bytes });
    await folder.refuses(
      "b",
      new RegExp(`b is (packed with )?${name}`),
      /--data\.raw trains on the bytes as they are/,
    );
    await folder.refuses("", new RegExp(`b is (packed with )?${name}`));
  }
});

Deno.test("texts that begin like names of formats are texts", async () => {
  await using folder = await TextFolder.open();
  const beginnings = [
    "BZh9 is the mark of bzip2",
    "PK was here",
    "PAR1 and PAR2",
    "Rar! he said",
    "7z",
    "LZIP",
    "Obj",
    "GGUF",
  ];
  const far = " ".repeat(257) + "ustar is what tar writes here";
  for (
    const text of [
      ...beginnings,
      far,
      "P*M",
      "]",
      "%PDF- is no version",
      "ARROW1",
      "SQLite format 3 is a format",
      "\ufeffBOM",
    ]
  ) {
    await folder.write({ text });
    assert.equal((await folder.load("text")).bytes, encode(text).length, text);
  }
});

Deno.test("with raw, a file is the bytes that it has", async () => {
  await using folder = await TextFolder.open();
  const zipped = PACKED.encryptedZip;
  await folder.write({ "a.xz": PACKED.xz, "b.zip": zipped, "c.gz": "text" });
  assert.equal((await folder.load("a.xz", { raw: true })).bytes, PACKED.xz.length);
  const { train, validation, bytes } = await folder.load("", { raw: true });
  assert.equal(bytes, PACKED.xz.length + zipped.length + 4 + 2);
  assert.deepEqual(joined(train, validation), joined(PACKED.xz, encode("\n"), zipped, encode("\ntext")));
});

Deno.test("a small archive that unpacks to more than there is room for is refused before it is unpacked", async () => {
  const zeros = new Uint8Array(3_000_000);
  const bombs = {
    "a.gz": gzip(zeros),
    "a.zst": new Uint8Array(zstdCompressSync(zeros)),
    "a.gz.gz": gzip(gzip(zeros)),
  };
  for (const [name, bomb] of Object.entries(bombs)) {
    assert.ok(bomb.length < 4000);
    const open = (room: number) => textsIn(name, bomb, { room: new Room(room), onSkipped: () => {} });
    assert.deepEqual(await open(4_000_000), [zeros], name);
    await assert.rejects(
      open(2_000_000),
      /unpacks to more than 0\.0 GiB, half of the memory that is free/,
      name,
    );
  }
});

Deno.test("the files of an archive share the room", async () => {
  const open = (room: number) =>
    textsIn("a.zip", PACKED.macZip, { room: new Room(room), onSkipped: () => {} });
  assert.equal((await open(16)).length, 3); // first, second, third
  await assert.rejects(open(15), /unpacks to more than/);
});

Deno.test("a zip archive that says it holds a terabyte is refused at once", async () => {
  await using folder = await TextFolder.open();
  await folder.write({ "bomb.zip": zipOf(2 ** 40) });
  await folder.refuses(
    "bomb.zip",
    /bomb\.zip unpacks to more than \d+\.\d GiB, half of the memory that is free/,
  );
});

/** A zip archive (zip64) of one file with a claimed size, and one byte. */
function zipOf(size: number): Uint8Array {
  const name = encode("a"), data = encode("x"), sum = crc32(data);
  const extra = new DataView(new ArrayBuffer(20));
  extra.setUint16(0, 1, true);
  extra.setUint16(2, 16, true);
  extra.setBigUint64(4, BigInt(size), true);
  extra.setBigUint64(12, BigInt(data.length), true);
  const header = (signature: number, bytes: number, at: number) => {
    const view = new DataView(new ArrayBuffer(bytes));
    view.setUint32(0, signature, true);
    view.setUint16(at, 45, true); // version needed
    view.setUint32(at + 10, sum, true);
    view.setUint32(at + 14, 0xffffffff, true);
    view.setUint32(at + 18, 0xffffffff, true);
    view.setUint16(at + 22, name.length, true);
    view.setUint16(at + 24, extra.byteLength, true);
    return [...new Uint8Array(view.buffer), ...name, ...new Uint8Array(extra.buffer)];
  };
  const local = header(0x04034b50, 30, 4), central = header(0x02014b50, 46, 6);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, 1, true);
  end.setUint16(10, 1, true);
  end.setUint32(12, central.length, true);
  end.setUint32(16, local.length + data.length, true);
  return new Uint8Array([...local, ...data, ...central, ...new Uint8Array(end.buffer)]);
}
