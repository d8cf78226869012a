/**
 * Fetching pinned packages: a tiny real one with the machine's pip, and stand-ins for pip where it has to misbehave.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  cacheFolder,
  installPackage,
  isInstalled,
  packageFolder,
  type PinnedPackage,
} from "../../src/packages/packages.ts";

const SIX: PinnedPackage = {
  name: "six",
  version: "1.16.0",
  sha256: "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254",
};

/** Environment variables for one test, put back at its end. */
function environment(variables: Record<string, string>): Disposable {
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
      }
    },
  };
}

/** An empty cache folder for one test. */
function freshCache(): { folder: string } & Disposable {
  const folder = Deno.makeTempDirSync();
  const variables = environment({ FLASHMOB_CACHE: folder });
  return {
    folder,
    [Symbol.dispose]() {
      variables[Symbol.dispose]();
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

/** For one test the only command on the PATH is `name`, a shell script that answers `--version` and installs so. */
function fakePip(install: string, name = "python3"): Disposable {
  const folder = Deno.makeTempDirSync();
  const script = `#!/bin/sh\nPATH=/usr/bin:/bin\ncase "$*" in *--version) exit 0;; esac\n${install}\n`;
  Deno.writeTextFileSync(`${folder}/${name}`, script, { mode: 0o755 });
  const variables = environment({ PATH: folder });
  return {
    [Symbol.dispose]() {
      variables[Symbol.dispose]();
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

/** The name of a package's folder in the cache. */
function nameOf(pinned: PinnedPackage): string {
  return packageFolder(pinned).split("/").at(-1)!;
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

Deno.test("cacheFolder() is FLASHMOB_CACHE, else flashmob in XDG_CACHE_HOME, else in ~/.cache", () => {
  using _variables = environment({ FLASHMOB_CACHE: "", XDG_CACHE_HOME: "", HOME: "/home/ann" });
  assert.equal(cacheFolder(), "/home/ann/.cache/flashmob");
  Deno.env.set("XDG_CACHE_HOME", "/xdg");
  assert.equal(cacheFolder(), "/xdg/flashmob");
  Deno.env.set("FLASHMOB_CACHE", "/named");
  assert.equal(cacheFolder(), "/named");
});

Deno.test("cacheFolder() is a path from the root, and refuses what is no text", async () => {
  using _variables = environment({ FLASHMOB_CACHE: "here/cache" });
  assert.equal(cacheFolder(), `${Deno.cwd()}/here/cache`);
  const module = new URL("../../src/packages/packages.ts", import.meta.url).href;
  const program = `import(${JSON.stringify(module)}).then(({ cacheFolder }) => cacheFolder())
    .catch((error) => console.log(error.name, error.message))`;
  const { stdout } = await new Deno.Command("sh", {
    args: ["-c", `FLASHMOB_CACHE=$(printf '/tmp/\\377') exec "$0" eval "$1"`, Deno.execPath(), program],
  }).output();
  assert.match(new TextDecoder().decode(stdout), /^RunError FLASHMOB_CACHE names a folder in bytes that are/);
});

Deno.test("installPackage() fetches into a folder of any name", async () => {
  using cache = freshCache();
  Deno.env.set("FLASHMOB_CACHE", `${cache.folder}/a "b" 'c' $HOME \${HOME} %s%20 \\ #d; é漢\ne`);
  assert.ok(namesIn(await installPackage(SIX)).includes("six.py"));
});

Deno.test("installPackage() says what to do where the cache can't be made", async () => {
  using cache = freshCache();
  Deno.writeTextFileSync(`${cache.folder}/file`, "");
  for (
    const [name, words] of [["file", /Not a directory/], ["x".repeat(300), /File name too long/]] as const
  ) {
    Deno.env.set("FLASHMOB_CACHE", `${cache.folder}/${name}`);
    await assert.rejects(installPackage(SIX), (error: Error) => {
      assert.match(
        error.message,
        /^the cache can't be used: .*; set FLASHMOB_CACHE to a folder that can be/s,
      );
      return error.name === "RunError" && words.test(error.message);
    });
  }
});

Deno.test("installPackage() leaves the kept files and its lock, and does not fetch twice", async () => {
  using cache = freshCache();
  const pinned = { ...SIX, keep: /(^six\.py|LICENSE)$/ };
  const lines: string[] = [];
  assert.equal(await isInstalled(pinned), false);
  const folder = await installPackage(pinned, { onProgress: (line) => lines.push(line) });
  assert.equal(lines[0], "fetching six 1.16.0");
  assert.deepEqual(namesIn(folder), ["six-1.16.0.dist-info", "six.py"]);
  assert.deepEqual(namesIn(`${folder}/six-1.16.0.dist-info`), ["LICENSE"]);
  const packages = `${cache.folder}/packages`;
  const name = folder.slice(packages.length + 1);
  assert.deepEqual(namesIn(packages), [name, `${name}.lock`]);
  assert.equal(await isInstalled(pinned), true);

  using _noTool = environment({ PATH: "/nowhere" });
  assert.equal(await installPackage(pinned), folder);
});

Deno.test("installPackage() unpacks a package and those that belong with it into one folder", async () => {
  using _cache = freshCache();
  const toml = {
    name: "toml",
    version: "0.10.2",
    sha256: "806143ae5bfb6a3c6e736a764057db0e6a0e05e338b5630894a5f779cabb4f9b",
  };
  const names = namesIn(await installPackage({ ...SIX, with: [toml] }));
  assert.ok(names.includes("six.py") && names.includes("toml"), names.join(" "));
});

Deno.test("installPackage() fetches a wheel made for another Python", async () => {
  using _cache = freshCache();
  const folder = await installPackage({
    ...SIX,
    wheel: { python: "3.9", platforms: ["manylinux_2_27_x86_64"] },
  });
  assert.ok(namesIn(folder).includes("six.py"));
});

Deno.test("installPackage() refuses a file with another checksum, in pip's words, and leaves nothing", async () => {
  using cache = freshCache();
  const pinned = { ...SIX, sha256: "0".repeat(64) };
  await assert.rejects(installPackage(pinned), /could not fetch six 1\.16\.0 with .*pip.*hash/is);
  assert.deepEqual(namesIn(`${cache.folder}/packages`), [`${nameOf(pinned)}.lock`]);
});

Deno.test("two processes that start at once fetch a package once", async () => {
  using cache = freshCache();
  using _pip = fakePip(`
    echo fetched >> "$FLASHMOB_CACHE/log"
    while [ "$1" != --target ]; do shift; done
    mkdir -p "$2" && sleep 1 && echo whole > "$2/file"`);
  const module = new URL("../../src/packages/packages.ts", import.meta.url).href;
  const code = `import { installPackage } from ${JSON.stringify(module)};
    const folder = await installPackage(${JSON.stringify(SIX)});
    console.log(await Deno.readTextFile(folder + "/file"));`;
  const start = () => {
    const command = new Deno.Command(Deno.execPath(), { args: ["eval", code], stderr: "inherit" });
    return command.output();
  };
  for (const { success, stdout } of await Promise.all([start(), start()])) {
    assert.ok(success);
    assert.equal(new TextDecoder().decode(stdout).trim(), "whole");
  }
  assert.equal(Deno.readTextFileSync(`${cache.folder}/log`), "fetched\n");
});

Deno.test("installPackage() ends the tool when the signal fires, and leaves no staging folder", async () => {
  using cache = freshCache();
  using _pip = fakePip(`echo $$ > "$FLASHMOB_CACHE/pid"; exec sleep 60`);
  const controller = new AbortController();
  const lines: string[] = [];
  const fetching = installPackage(SIX, { signal: controller.signal, onProgress: (line) => lines.push(line) });
  setTimeout(() => controller.abort(new Error("stopped by the user")), 1500);
  await assert.rejects(fetching, /stopped by the user/);
  assert.ok(
    lines.some((line) => /^fetching and unpacking six 1\.16\.0: \d+ MB so far$/.test(line)),
    lines.join("\n"),
  );
  assert.deepEqual(namesIn(`${cache.folder}/packages`), [`${nameOf(SIX)}.lock`]);
  const pid = Number(Deno.readTextFileSync(`${cache.folder}/pid`));
  assert.throws(() => Deno.kill(pid, "SIGCONT"), "the tool is gone");
});

Deno.test("installPackage() removes what a process left that died while fetching", async () => {
  using cache = freshCache();
  using _pip = fakePip(`while [ "$1" != --target ]; do shift; done; mkdir -p "$2"`);
  Deno.mkdirSync(`${packageFolder(SIX)}.staging-1/tmp`, { recursive: true });
  await installPackage(SIX);
  assert.deepEqual(namesIn(`${cache.folder}/packages`), [nameOf(SIX), `${nameOf(SIX)}.lock`]);
});

Deno.test("installPackage() names what it looked for where there is no pip and no uv", async () => {
  using _cache = freshCache();
  using _noTool = environment({ PATH: "/nowhere" });
  await assert.rejects(installPackage(SIX), /no pip and no uv.*python3 -m pip.*uv pip.*apt-get install/s);
});

Deno.test("installPackage() speaks uv's dialect where only uv is there", async () => {
  using cache = freshCache();
  using _pip = fakePip(`echo "$@" > "$FLASHMOB_CACHE/args"; echo "no such version" >&2; exit 1`, "uv");
  const pinned = { ...SIX, wheel: { python: "3.11", platforms: ["manylinux_2_27_x86_64"] } };
  await assert.rejects(installPackage(pinned), /with uv pip, which said:\nno such version/);
  const args = Deno.readTextFileSync(`${cache.folder}/args`);
  assert.match(args, /^pip install .*--python-version 3\.11 --python-platform x86_64-manylinux_2_28$/m);
});
