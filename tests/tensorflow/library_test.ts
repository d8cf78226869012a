/**
 * Where TensorFlow's libraries are looked for, with stand-in files: nothing is opened or fetched here.
 *
 * @module
 */

import assert from "node:assert/strict";
import { packageFolder } from "../../src/packages/packages.ts";
import {
  findLibrary,
  FRAMEWORK_FILE,
  LIBRARY_FILE,
  TENSORFLOW_CPU,
  TENSORFLOW_GPU,
} from "../../src/tensorflow/library.ts";

/** A machine with an empty cache, no TensorFlow named and no commands but those of the folder `bin`. */
function bareMachine(): { folder: string } & Disposable {
  const folder = Deno.makeTempDirSync();
  Deno.mkdirSync(`${folder}/bin`);
  const variables = { FLASHMOB_CACHE: `${folder}/cache`, FLASHMOB_TENSORFLOW: "", PATH: `${folder}/bin` };
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  for (const [name, value] of Object.entries(variables)) Deno.env.set(name, value);
  return {
    folder,
    [Symbol.dispose]() {
      for (const [name, value] of before) {
        value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
      }
      Deno.removeSync(folder, { recursive: true });
    },
  };
}

/** Empty files with the libraries' names. */
function placeLibraries(folder: string): string {
  Deno.mkdirSync(folder, { recursive: true });
  for (const name of [LIBRARY_FILE, FRAMEWORK_FILE]) Deno.writeTextFileSync(`${folder}/${name}`, "");
  return folder;
}

/** A python3 that has a package tensorflow at `folder`. */
function placePython(machine: string, folder: string): void {
  Deno.writeTextFileSync(`${machine}/bin/python3`, `#!/bin/sh\necho ${folder}\n`, { mode: 0o755 });
}

Deno.test("FLASHMOB_TENSORFLOW names the libraries' folder or the one above", async () => {
  using machine = bareMachine();
  const folder = placeLibraries(`${machine.folder}/wheel/tensorflow`);
  for (const named of [folder, `${machine.folder}/wheel`]) {
    Deno.env.set("FLASHMOB_TENSORFLOW", named);
    assert.deepEqual(await findLibrary("cpu"), { folder, source: "FLASHMOB_TENSORFLOW" });
  }
});

Deno.test("a FLASHMOB_TENSORFLOW without the libraries is an error, not a reason to look elsewhere", async () => {
  using machine = bareMachine();
  placeLibraries(`${packageFolder(TENSORFLOW_CPU)}/tensorflow`);
  Deno.env.set("FLASHMOB_TENSORFLOW", machine.folder);
  await assert.rejects(findLibrary("cpu"), /FLASHMOB_TENSORFLOW is .*libtensorflow_cc\.so\.2/);
});

Deno.test("findLibrary() takes the cache before Python, and each device its own package", async () => {
  using machine = bareMachine();
  const python = placeLibraries(`${machine.folder}/site-packages/tensorflow`);
  placePython(machine.folder, python);
  assert.deepEqual(await findLibrary("cpu"), { folder: python, source: "python3" });
  const cached = placeLibraries(`${packageFolder(TENSORFLOW_CPU)}/tensorflow`);
  assert.deepEqual(await findLibrary("cpu"), { folder: cached, source: "the cache" });
  const gpu = placeLibraries(`${packageFolder(TENSORFLOW_GPU)}/tensorflow`);
  assert.deepEqual(await findLibrary("gpu"), { folder: gpu, source: "the cache" });
});

Deno.test("findLibrary() takes Python's for a GPU only with CUDA beside it", async () => {
  using machine = bareMachine();
  const python = placeLibraries(`${machine.folder}/site-packages/tensorflow`);
  placePython(machine.folder, python);
  await assert.rejects(findLibrary("gpu"), /without libtensorflow_cc\.so\.2 or CUDA/);
  const solver = `${machine.folder}/site-packages/nvidia/cusolver/lib`;
  Deno.mkdirSync(solver, { recursive: true });
  Deno.writeTextFileSync(`${solver}/libcusolver.so.11`, "");
  assert.deepEqual(await findLibrary("gpu"), { folder: python, source: "python3" });
});

Deno.test("where TensorFlow is nowhere the error names each place and the command to run", async () => {
  using machine = bareMachine();
  await assert.rejects(findLibrary("cpu"), (error: Error) => {
    assert.match(error.message, /FLASHMOB_TENSORFLOW names no folder/);
    assert.ok(error.message.includes(`not in the cache: ${machine.folder}/cache`));
    assert.match(error.message, /python3 has no package tensorflow/);
    assert.match(error.message, /no pip and no uv on this machine/);
    assert.match(error.message, /python3 -m pip install tensorflow-cpu==2\.21\.0/);
    return true;
  });
});
