/**
 * Starting the backend, in processes of their own: it is started once per process, and what it prints and how the process
 * ends matter.
 *
 * @module
 */

import assert from "node:assert/strict";

const MODULE = new URL("../../src/tensorflow/mod.ts", import.meta.url).href;

/** Runs code with our exports in another process; `said` is what it wrote, on both streams. */
async function run(code: string, env: Record<string, string> = {}): Promise<{ code: number; said: string }> {
  const program = `import { backendInfo, initBackend, tf } from ${JSON.stringify(MODULE)};\n${code}`;
  const output = await new Deno.Command(Deno.execPath(), { args: ["eval", program], env }).output();
  const text = new TextDecoder();
  return { code: output.code, said: text.decode(output.stdout) + text.decode(output.stderr) };
}

for (const backend of ["tensorflow", "cpu"]) {
  Deno.test(`a process on backend ${backend} prints nothing of its own and ends with exit code 0`, async () => {
    const ended = await run(`
      await initBackend({ backend: "${backend}" });
      const gradient = tf.grad((x) => tf.relu(x).square().sum())(tf.tensor1d([1, -2, 3]));
      console.log(tf.getBackend(), gradient.arraySync());`);
    assert.deepEqual(ended, { code: 0, said: `${backend} [ 2, 0, 6 ]\n` });
  });
}

Deno.test("tfjs without a backend started computes in JavaScript and prints no banner", async () => {
  assert.deepEqual(await run(`console.log(tf.add(1, 2).arraySync());`), { code: 0, said: "3\n" });
});

Deno.test("initBackend() again does nothing with the same options and is an error with others", async () => {
  const { said } = await run(`
    const [one, two] = await Promise.all([initBackend({ threads: 2 }), initBackend({ threads: 2 })]);
    console.log(one === two, backendInfo() === one);
    await initBackend({ threads: 3 }).catch((error) => console.log(String(error)));`);
  assert.match(
    said,
    /^true true\nRunError: the backend runs with .*"threads":2.* can't be changed to .*"threads":3/,
  );
});

Deno.test("initBackend() refuses threads that are no number of threads", async () => {
  const { said } = await run(`
    await initBackend({ threads: 0 }).catch((error) => console.log(String(error)));
    await initBackend({ threads: 1.5 }).catch((error) => console.log(String(error)));`);
  const message = (threads: number) =>
    `RangeError: threads is ${threads}, and has to be a whole number from 1 up\n`;
  assert.equal(said, message(0) + message(1.5));
});

Deno.test("initBackend() can be tried again after a failure, and backendInfo() says when it is too early", async () => {
  const { said } = await run(
    `
    try { backendInfo(); } catch (error) { console.log(error.message); }
    await initBackend().catch((error) => console.log(error.message.slice(0, 22)));
    Deno.env.delete("FLASHMOB_TENSORFLOW");
    console.log((await initBackend({ backend: "cpu" })).backend);`,
    { FLASHMOB_TENSORFLOW: "/nowhere" },
  );
  assert.equal(said, "no backend yet: call await initBackend() first\nFLASHMOB_TENSORFLOW is\ncpu\n");
});

Deno.test("libraries that can't be opened are an error with the folder and the reason", async () => {
  const folder = await Deno.makeTempDir();
  for (const name of ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]) {
    await Deno.writeTextFile(`${folder}/${name}`, "not a library");
  }
  const { said } = await run(`await initBackend().catch((error) => console.log(String(error)));`, {
    FLASHMOB_TENSORFLOW: folder,
  });
  assert.ok(said.startsWith(`RunError: could not open TensorFlow's libraries in ${folder}: `), said);

  const replaced = `${folder}/$ORIGIN`;
  await Deno.mkdir(replaced);
  for (const name of ["libtensorflow_cc.so.2", "libtensorflow_framework.so.2"]) {
    await Deno.copyFile(`${folder}/${name}`, `${replaced}/${name}`);
  }
  const { said: hint } = await run(`await initBackend().catch((error) => console.log(String(error)));`, {
    FLASHMOB_TENSORFLOW: replaced,
  });
  await Deno.remove(folder, { recursive: true });
  assert.match(hint, /the loader replaces \$ORIGIN, \$LIB and \$PLATFORM in a path/);
});

Deno.test("backendInfo() names version, device, threads and instructions", async () => {
  const { said } = await run(`
    await initBackend({ threads: 2, device: "cpu" });
    console.log(JSON.stringify(backendInfo()));`);
  const { version, deviceName, instructionSet, ...rest } = JSON.parse(said);
  assert.match(version, /^TensorFlow \d+\.\d+\.\d+$/);
  assert.ok(deviceName.length > 0 && instructionSet.length > 0);
  assert.deepEqual(rest, { backend: "tensorflow", device: "cpu", threads: 2, xlaFlags: "" });
});
