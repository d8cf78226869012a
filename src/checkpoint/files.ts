/**
 * The files of a checkpoint, read with care: nothing is believed before its checksum is found right.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { z } from "zod";
import { STATE_FILE } from "./folder.ts";
import { errorMessage, RunError } from "../errors.ts";
import { type FlatTensors, parseSafetensors } from "../safetensors.ts";

/** The version of this format; another one is refused. */
export const FORMAT = 1;

/** The run part of a configuration, as far as a checkpoint looks into it. */
export interface CheckpointConfig {
  /** Options of the transformer. */
  model: object;
  /** How the text was read and cut. */
  data?: { raw?: boolean; seqLen: number };
  /** Sequences of a step. */
  train?: { batch: number };
  /** Whether gradients or parameters were averaged. */
  dist?: { mode: string };
}

/** What `state.json` holds. */
export interface StateFile {
  /** Version of this format. */
  format: number;
  /** As in `ReplicaState`. */
  step: number;
  /** As in `ReplicaState`. */
  updates: number;
  /** As in `ReplicaState`. */
  tokens: number;
  /** Where members have moments of their own, those of the member that wrote this: their names among the optimizer's vectors. */
  own?: { updates: number; vectors: string[] };
  /** Identity of the run; those of flashmob 0.1 have none, and are taken for the run's in whose folder they are. */
  run?: string;
  /** SHA-256 of all that replicas had in common, in hexadecimal; those of flashmob 0.1 don't say. */
  stateHash?: string;
  /** Samples that the steps so far have consumed: the place in the data. In flashmob 0.1 it was step · train.batch. */
  samples?: number;
  /** Fingerprint of the layout. */
  layout: string;
  /** The run part of the configuration. */
  config: CheckpointConfig;
  /** Length in bytes and SHA-256 of the text trained on; imported weights have none. */
  corpus?: { bytes: number; sha256: string };
  /** SHA-256 of the other two files. */
  sha256: Record<string, string>;
}

/**
 * The state file of a checkpoint, with the checksums of its other files.
 *
 * @throws {SyntaxError} when it is missing or damaged
 * @throws {RunError} when it is of another format
 */
export async function readStateFile(path: string): Promise<StateFile> {
  let about: unknown;
  try {
    about = JSON.parse(await Deno.readTextFile(`${path}/${STATE_FILE}`));
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
    const problem = isMissing
      ? "is missing: it was being deleted"
      : `can't be read (${(error as Error).message})`;
    throw new SyntaxError(`Can't use ${path}: ${STATE_FILE} ${problem}.`);
  }
  const { format } = (about ?? {}) as Partial<StateFile>;
  if (typeof format === "number" && format !== FORMAT) {
    throw new RunError(
      `Can't use ${path}: it has format ${format}, this version reads ${FORMAT}; take the flashmob that wrote it.`,
    );
  }
  const { error } = schema.safeParse(about);
  if (!error) return about as StateFile;
  const [{ path: where }] = error.issues;
  const what = where.length === 0 ? "" : `, as its ${where.join(".")} shows`;
  throw new SyntaxError(`Can't use ${path}: ${STATE_FILE} is not one of a checkpoint${what}.`);
}

const count = () => z.int().min(0);

/** What is relied on; later versions may say more. */
const schema = z.looseObject({
  format: z.literal(FORMAT),
  step: count(),
  updates: count(),
  tokens: count(),
  run: z.string().optional(),
  stateHash: z.string().optional(),
  samples: count().optional(),
  own: z.looseObject({ updates: count(), vectors: z.array(z.string()) }).optional(),
  layout: z.string(),
  config: z.looseObject({ model: z.looseObject({}) }),
  corpus: z.looseObject({ bytes: count(), sha256: z.string() }).optional(),
  sha256: z.record(z.string(), z.string()),
});

/**
 * A safetensors file of a checkpoint, its checksum found right.
 *
 * @throws {SyntaxError} when it is missing or damaged
 */
export async function readTensors(path: string, name: string, about: StateFile): Promise<FlatTensors> {
  return parseSafetensors(await readChecked(path, name, about), `${path}/${name}`);
}

/** Throws a SyntaxError for the first file that is missing or damaged. Takes no memory to speak of. */
export async function checkFiles(path: string, about: StateFile): Promise<void> {
  const piece = new Uint8Array(PIECE);
  for (const name of ["model.safetensors", "optimizer.safetensors"]) {
    await withChecksum(path, name, about, async (file, see) => {
      for (let read = await file.read(piece); read !== null; read = await file.read(piece)) {
        see(piece.subarray(0, read));
      }
    });
  }
}

/** Reads a whole file once, into memory of just its size. */
function readChecked(path: string, name: string, about: StateFile): Promise<Uint8Array<ArrayBuffer>> {
  return withChecksum(path, name, about, async (file, see) => {
    const bytes = new Uint8Array((await file.stat()).size);
    for (let at = 0; at < bytes.length;) {
      const read = await file.read(bytes.subarray(at, at + PIECE));
      if (read === null) break; // it was cut meanwhile: the checksum tells
      see(bytes.subarray(at, at + read));
      at += read;
    }
    return bytes;
  });
}

/** Bytes that are read at once. */
const PIECE = 4 * 1024 * 1024;

/** Opens a file of a checkpoint, and compares the checksum of what `read` has seen. */
async function withChecksum<T>(
  path: string,
  name: string,
  { sha256 }: StateFile,
  read: (file: Deno.FsFile, see: (bytes: Uint8Array) => void) => Promise<T>,
): Promise<T> {
  const hash = createHash("sha256");
  let result: T;
  try {
    using file = await Deno.open(`${path}/${name}`);
    result = await read(file, (bytes) => hash.update(bytes));
  } catch (error) {
    throw new SyntaxError(`Can't use ${path}: ${name} can't be read (${errorMessage(error)}).`);
  }
  if (hash.digest("hex") === sha256[name]) return result;
  throw new SyntaxError(
    `Can't use ${path}: ${name} is damaged, its SHA-256 is not the one in ${STATE_FILE}.`,
  );
}
