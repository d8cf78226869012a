/**
 * Finds TensorFlow's two shared libraries, or fetches them. Python's wheels carry them whole, with the C API that
 * TensorFlow supports for other languages, so no compiler and no Python is needed to use them.
 *
 * @module
 */

import { RunError } from "../errors.ts";
import {
  type InstallOptions,
  installPackage,
  packageFolder,
  type PinnedPackage,
} from "../packages/packages.ts";

/** A processor that TensorFlow computes on. */
export type Device = "cpu" | "gpu";

/** The library with the C API; its companion lies beside it. */
export const LIBRARY_FILE = "libtensorflow_cc.so.2";
/** The companion, which has to be opened first. */
export const FRAMEWORK_FILE = "libtensorflow_framework.so.2";
/**
 * NVIDIA's solver, from the folder of the others. TensorFlow finds the rest of CUDA by itself; this one it only finds where
 * it is open already, and without it sees no GPU.
 */
export const SOLVER_FILE = "../nvidia/cusolver/lib/libcusolver.so.11";

const WHEEL = {
  python: "3.11",
  platforms: [
    "manylinux_2_27_x86_64",
    "manylinux2014_x86_64",
    "manylinux_2_17_x86_64",
    "manylinux_2_12_x86_64",
  ],
};

/** TensorFlow for Linux on x86-64 without a GPU: 274 MB to fetch, 854 MB of which the cache keeps. */
export const TENSORFLOW_CPU: PinnedPackage = {
  name: "tensorflow-cpu",
  version: "2.21.0",
  sha256: "2b847d217b02ee7731ed91431daf3250daa0196c3c94614d23be27232e6e5b6c",
  wheel: WHEEL,
  keep: /^tensorflow\/(libtensorflow_(cc|framework)\.so\.2|THIRD_PARTY_NOTICES\.txt)$/,
};

/**
 * TensorFlow with its CUDA libraries, some 4 GB. The library looks for them in `../nvidia/<name>/lib`, which is where
 * they lie when all are unpacked into one folder.
 */
export const TENSORFLOW_GPU: PinnedPackage = {
  name: "tensorflow",
  version: "2.21.0",
  sha256: "9056fbc9ba04235810b71ae6cbd958a196e8804fb53bbcffbf3e23b56155f124",
  wheel: WHEEL,
  keep: /^(tensorflow\/(libtensorflow_(cc|framework)\.so\.2|THIRD_PARTY_NOTICES\.txt)$|nvidia\/)/,
  with: [
    ["cublas", "12.9.3.13", "d7d51055f161b317c7105ddaae90e71eda059026074ffef93cf7cde2886bfe72"],
    ["cuda-cupti", "12.8.90", "ea0cb07ebda26bb9b29ba82cda34849e73c166c18162d3913575b0c9db9a6182"],
    ["cuda-nvcc", "12.9.86", "5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0"],
    ["cuda-nvrtc", "12.9.86", "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4"],
    ["cuda-runtime", "12.9.79", "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3"],
    ["cudnn", "9.28.0.42", "9ff58b7f36dacd0a93e89f8f2957b52466889217963701daa15e577317cfa375"],
    ["cufft", "11.4.1.4", "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28"],
    ["curand", "10.3.10.19", "49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e"],
    ["cusolver", "11.7.5.82", "15da72d1340d29b5b3cf3fd100e3cd53421dde36002eda6ed93811af63c40d88"],
    ["cusparse", "12.5.10.65", "73060ce019ac064a057267c585bf1fd5a353734151f87472ff02b2c5c9984e78"],
    ["nccl", "2.32.3", "bb94b2348e4861d5e8aa00b36c3d12d9bdf9c6369b82cbb723de0b582280a21c"],
    ["nvjitlink", "12.9.86", "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9"],
  ].map(([library, version, sha256]) => ({ name: `nvidia-${library}-cu12`, version, sha256 })),
};

/** What {@linkcode findLibrary} found. */
export interface FoundLibrary {
  /** The folder with the two libraries. */
  folder: string;
  /** Where that was, as text: "the cache". */
  source: string;
}

/**
 * The folder with TensorFlow's libraries: the one that `FLASHMOB_TENSORFLOW` names, else flashmob's cache, else the
 * machine's Python, else fetched into the cache.
 *
 * @param device which build is wanted; "gpu" takes from Python only one that has its CUDA libraries beside it
 * @throws {RunError} where it is nowhere and can't be fetched, with each place that was looked at
 */
export async function findLibrary(device: Device, options: InstallOptions = {}): Promise<FoundLibrary> {
  const named = Deno.env.get("FLASHMOB_TENSORFLOW");
  if (named) return { folder: libraryIn(named), source: "FLASHMOB_TENSORFLOW" };
  const pinned = device === "gpu" ? TENSORFLOW_GPU : TENSORFLOW_CPU;
  const cached = `${packageFolder(pinned)}/tensorflow`;
  if (isFile(`${cached}/${LIBRARY_FILE}`)) return { folder: cached, source: "the cache" };
  const installed = await pythonPackage();
  if (installed && isFile(`${installed}/${LIBRARY_FILE}`) && (device === "cpu" || hasCuda(installed))) {
    return { folder: installed, source: "python3" };
  }
  try {
    requirePinnedPlatform();
    return { folder: `${await installPackage(pinned, options)}/tensorflow`, source: "the package index" };
  } catch (cause) {
    options.signal?.throwIfAborted();
    throw new RunError(
      [
        "TensorFlow was not found:",
        "- FLASHMOB_TENSORFLOW names no folder",
        `- not in the cache: ${cached}`,
        `- python3 ${
          installed ? `has it without ${LIBRARY_FILE} or CUDA: ${installed}` : "has no package tensorflow"
        }`,
        `- ${cause instanceof Error ? cause.message : cause}`,
        `Fetch it with: python3 -m pip install ${pinned.name}==${pinned.version}`,
        "Or train without it, slowly: --backend cpu",
      ].join("\n"),
      { cause },
    );
  }
}

/** The names of this machine's NVIDIA GPUs that have a working driver, in the order of their numbers. */
export async function gpuNames(): Promise<string[]> {
  const names = await output("nvidia-smi", ["--query-gpu=name", "--format=csv,noheader"]) ?? "";
  return names.split("\n").map((name) => name.trim()).filter((name) => name !== "");
}

/** The default device: a GPU where there is one. */
export async function defaultDevice(): Promise<Device> {
  return (await gpuNames()).length > 0 ? "gpu" : "cpu";
}

/** The libraries' folder where the user named either it or the one above it. */
function libraryIn(named: string): string {
  for (const folder of [named, `${named}/tensorflow`]) {
    if (isFile(`${folder}/${LIBRARY_FILE}`) && isFile(`${folder}/${FRAMEWORK_FILE}`)) return folder;
  }
  throw new RunError(
    `FLASHMOB_TENSORFLOW is ${named}, but neither that folder nor tensorflow/ in it has ` +
      `${LIBRARY_FILE} and ${FRAMEWORK_FILE}; name the folder tensorflow of an unpacked TensorFlow wheel, or unset it`,
  );
}

/** The folder of Python's package, found without importing it, which would take seconds. */
async function pythonPackage(): Promise<string | undefined> {
  const code =
    "import importlib.util as u; s = u.find_spec('tensorflow'); print(s.submodule_search_locations[0])";
  return (await output("python3", ["-c", code]))?.trim();
}

function hasCuda(folder: string): boolean {
  return isFile(`${folder}/${SOLVER_FILE}`);
}

function requirePinnedPlatform(): void {
  if (Deno.build.target === "x86_64-unknown-linux-gnu") return;
  throw new RunError(`it is fetched for x86_64-unknown-linux-gnu only, and this is ${Deno.build.target}`);
}

/** What a command prints, or undefined where it is not there or fails. */
async function output(command: string, args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(command, { args, stdin: "null", stderr: "null" })
      .output();
    return success ? new TextDecoder().decode(stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) {
      return undefined;
    }
    throw error;
  }
}

/** What can't be looked at, for whatever reason, counts as not there. */
function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
