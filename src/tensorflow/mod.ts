/**
 * TensorFlow under Deno: the only folder that imports tfjs.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";

export { tf };
