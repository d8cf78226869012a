/**
 * Runs a test on tfjs's plain JavaScript backend and, where it is there, on TensorFlow.
 *
 * @module
 */

import { tf } from "../../src/tensorflow/mod.ts";

/** Registers a test for each backend. Tensors that the test leaves behind are disposed of. */
export function eachBackend(name: string, run: () => void | Promise<void>): void {
  Deno.test(`${name} (cpu)`, async () => {
    await tf.setBackend("cpu");
    tf.engine().startScope();
    try {
      await run();
    } finally {
      tf.engine().endScope();
    }
  });
}
