/**
 * The two tools that fetch packages from the Python package index, pip and uv: which one this machine has, and how each is asked.
 *
 * @module
 */

import { RunError } from "../errors.ts";

/** The Python and the platforms in the wheels' names. */
export interface WheelTags {
  /** Version of CPython: "3.11". */
  python: string;
  /** Platform tags, the one with the newest glibc first: "manylinux_2_27_x86_64". */
  platforms: readonly string[];
}

/** Commands that can install a package, the likeliest to be there first. */
const INSTALLERS = [
  ["python3", "-m", "pip"],
  ["python", "-m", "pip"],
  ["pip3"],
  ["pip"],
  ["uv", "pip"],
] as const;

/** The arguments after `install`. pip and uv name a wheel's tags differently. */
export function installArguments(
  installer: readonly string[],
  target: string,
  requirements: string,
  wheel?: WheelTags,
): string[] {
  const common = [
    "--quiet",
    "--target",
    target,
    "--no-deps",
    "--only-binary",
    ":all:",
    "--require-hashes",
    "-r",
  ];
  if (installer[0] === "uv") {
    const tags = wheel
      ? ["--python-version", wheel.python, "--python-platform", uvPlatform(wheel.platforms[0])]
      : [];
    return [...common, requirements, ...tags];
  }
  return [...common, requirements, "--no-compile", ...(wheel ? pipTags(wheel) : [])];
}

/** pip's flags; the abi "none" is that of wheels for any Python. */
function pipTags({ python, platforms }: WheelTags): string[] {
  const abi = `cp${python.replace(".", "")}`;
  const tags = ["--python-version", python, "--implementation", "cp", "--abi", abi, "--abi", "none"];
  return [...tags, ...platforms.flatMap((platform) => ["--platform", platform])];
}

/** uv's name of a platform, and of none below glibc 2.28: "manylinux_2_27_x86_64" is "x86_64-manylinux_2_28". */
function uvPlatform(tag: string): string {
  const [, minor, machine] = /^manylinux_2_(\d+)_(.+)$/.exec(tag) ?? [];
  if (!machine) throw new TypeError(`a platform tag like manylinux_2_28_x86_64 was expected, found ${tag}`);
  return `${machine}-manylinux_2_${Math.max(28, Number(minor))}`;
}

/**
 * The first of the installers that answers.
 *
 * @param label what is to be fetched, as text
 * @throws {RunError} where there is none
 */
export async function findInstaller(label: string): Promise<readonly string[]> {
  for (const installer of INSTALLERS) {
    const [command, ...first] = installer;
    if (await runs(command, [...first, "--version"])) return installer;
  }
  const looked = INSTALLERS.map((installer) => installer.join(" ")).join(", ");
  throw new RunError(
    `could not fetch ${label}: no pip and no uv on this machine (looked for: ${looked}). ` +
      "Install pip (Debian, Ubuntu: apt-get install python3-pip) or uv, then start again",
  );
}

/** Whether a command is there and ends with exit code 0. */
async function runs(command: string, args: string[]): Promise<boolean> {
  try {
    const child = new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" });
    return (await child.output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}
