/**
 * Recognizes packed files, and binary formats that are given by mistake instead of a text, by their first bytes. Only bytes that
 * no text begins with count, so a text is never mistaken for another format.
 *
 * @module
 */

/** A file format that is not plain text. */
export interface Format {
  /** Its name in messages: "xz", "a PDF". */
  name: string;
  /** Its first bytes, in hexadecimal; undefined where it can't be recognized by them. */
  head?: RegExp;
  /** The file names of this format. */
  ending?: RegExp;
  /** The command that unpacks it. */
  command?: string;
}

/** Number of first bytes that are needed: tar's magic number ends last. */
const HEAD_BYTES = 265;

const PACKED: readonly Format[] = [
  { name: "gzip", head: /^1f8b08/, ending: /\.t?gz$/i, command: "gzip -dk FILE" },
  { name: "zip", head: /^504b(0304|0506|0708)/, ending: /\.zip$/i, command: "unzip FILE" },
  { name: "zstd", head: /^(28b52ffd|5.2a4d18)/, ending: /\.(t?zst|zstd)$/i, command: "zstd -d FILE" },
  { name: "xz", head: /^fd377a585a00/, ending: /\.t?xz$/i, command: "xz -dk FILE" },
  {
    name: "bzip2",
    head: /^425a683[1-9](314159265359|177245385090)/,
    ending: /\.t?bz2?$/i,
    command: "bzip2 -dk FILE",
  },
  { name: "lzma", head: /^5d0000/, ending: /\.lzma$/i, command: "xz -dk FILE" },
  { name: "lzip", head: /^4c5a495001/, ending: /\.lz$/i, command: "lzip -dk FILE" },
  { name: "lzop", head: /^894c5a4f000d0a1a0a/, ending: /\.lzo$/i, command: "lzop -d FILE" },
  { name: "lz4", head: /^0[24]2[12]4[cd]18/, ending: /\.lz4$/i, command: "lz4 -d FILE" },
  { name: "compress", head: /^1f9d/, ending: /\.Z$/, command: "gzip -dk FILE" },
  { name: "brotli", ending: /\.br$/i, command: "brotli -d FILE" },
  { name: "7z", head: /^377abcaf271c/, ending: /\.7z$/i, command: "7z x FILE" },
  { name: "rar", head: /^526172211a07/, ending: /\.rar$/i, command: "unrar x FILE" },
  {
    name: "tar",
    head: /^.{514}7573746172(003030|202000)/,
    ending: /\.tar$/i,
    command: "mkdir FOLDER && tar -xf FILE -C FOLDER",
  },
];

const OTHERS: readonly Format[] = [
  { name: "a PDF", head: /^255044462d3[12]2e/ },
  { name: "an Office document", head: /^d0cf11e0a1b11ae1/ },
  { name: "a Parquet file", head: /^5041523115/ },
  { name: "an Arrow file", head: /^4152524f57310000/ },
  { name: "an Avro file", head: /^4f626a01/ },
  { name: "an HDF5 file", head: /^894844460d0a1a0a/ },
  { name: "a NumPy array", head: /^934e554d5059/ },
  { name: "a Python pickle", head: /^800[2-5]/ },
  { name: "a safetensors file", head: /^.{8}000000007b22/ },
  { name: "a GGUF file", head: /^474755460.000000/ },
  { name: "an SQLite database", head: /^53514c69746520666f726d6174203300/ },
  { name: "a PNG image", head: /^89504e470d0a1a0a/ },
  { name: "a JPEG image", head: /^ffd8ff/ },
  { name: "a program", head: /^7f454c46/ },
];

/** The format of a file; undefined for what may be a text. */
export function formatOf(bytes: Uint8Array): Format | undefined {
  const head = Array.from(bytes.subarray(0, HEAD_BYTES), (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  return [...PACKED, ...OTHERS].find((format) => format.head?.test(head));
}

/** The format that a file's name promises. */
export function formatByName(path: string): Format | undefined {
  return PACKED.find(({ ending }) => ending?.test(path));
}

/** Thrown for a file that can't be read as text. The message says why; the file's name is put before it. */
export class NotText extends Error {}

/** The way to train on such a file anyway. */
export const RAW_HINT = "--data.raw trains on the bytes as they are";

/** The error for a file of a format that is not read here. */
export function refusal({ name, command }: Format): NotText {
  const reason = command === undefined
    ? `is ${name}, no text: take the text out of it`
    : `is packed with ${name}: unpack it first (${command})`;
  return new NotText(`${reason}; ${RAW_HINT}`);
}
