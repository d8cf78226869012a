/**
 * Runs a test on tfjs's plain JavaScript backend and on TensorFlow.
 *
 * @module
 */

import { initBackend, tf } from "../../src/tensorflow/mod.ts";

/** TensorFlow is started once per process; the plain backend is always there. */
async function use(backend: "cpu" | "tensorflow"): Promise<void> {
  if (backend === "tensorflow") await initBackend();
  await tf.setBackend(backend);
}

/** Registers a test for one backend. Tensors that the test leaves behind are disposed of. */
export function onBackend(
  backend: "cpu" | "tensorflow",
  name: string,
  run: () => void | Promise<void>,
): void {
  Deno.test(`${name} (${backend})`, async () => {
    await use(backend);
    tf.engine().startScope();
    try {
      await run();
    } finally {
      tf.engine().endScope();
    }
  });
}

/** Registers a test for each backend. */
export function eachBackend(name: string, run: () => void | Promise<void>): void {
  onBackend("cpu", name, run);
  onBackend("tensorflow", name, run);
}
