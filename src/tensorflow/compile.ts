/**
 * `compile(fn)`: a function of tfjs operations is recorded once for each shape of its inputs, compiled by TensorFlow's
 * XLA, and from then on runs as one call beside the event loop.
 *
 * Three paths, the first that works is taken: *compiled* by XLA; *recorded*, the same TensorFlow function without XLA;
 * *eager*, operation by operation, on any tfjs backend. Each gives bits of its own.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import { tensorFlowBackend } from "./backend.ts";
import { DynamicShapeError } from "./graph.ts";
import { RecordedFunction } from "./recorded_function.ts";
import { flattenResults, requireTensors, type Results } from "./results.ts";
import { TensorFlowError } from "./status.ts";

/** How a function runs. */
export type ExecutionPath = "compiled" | "recorded" | "eager";

/** What {@linkcode compile} can be told. */
export interface CompileOptions {
  /** The first path to try, "compiled" by default: to compare the paths, or where compiling takes longer than it saves. */
  path?: ExecutionPath;
  /**
   * Numbers of inputs that are given up at each call: they are disposed, and the first result of the same shape and type
   * takes their memory, where nothing else holds it. For a state that is large and replaced at every call.
   */
  donate?: readonly number[];
  /**
   * Whether calls run on this thread, and the event loop waits. For what takes a few milliseconds and comes often: a call on
   * another thread takes some tenths of one longer. The first call, which compiles, runs on another thread anyway.
   */
  blocking?: boolean;
}

/** What {@linkcode compile} makes of a function. */
export interface CompiledFunction<Inputs extends tf.Tensor[], Result extends Results> {
  /**
   * Runs it. The results belong to the caller, who disposes them; the inputs may be disposed as soon as this has returned.
   *
   * @throws {TypeError} for inputs that are no tensors
   * @throws {RecordingError} where the function does what a recorded one may not, such as reading a value
   */
  (...inputs: Inputs): Promise<Result>;
  /** The path taken, the slowest one where inputs of several shapes came; undefined before the first call. */
  readonly path: ExecutionPath | undefined;
  /** Why that is not the path asked for, as text. */
  readonly reason: string | undefined;
  /** Frees everything recorded, captured and compiled, once the calls under way have ended. It can't be called then. */
  dispose(): void;
}

const PATHS: readonly ExecutionPath[] = ["compiled", "recorded", "eager"];

/**
 * Makes one TensorFlow function of a function of tfjs operations, its gradients included. It has to do the same at every
 * call: it is run once to record it, and its JavaScript never again. Inside it
 * - no value can be read (`dataSync`, `array`, `tf.gather`, which reads its indices): there is none yet;
 * - nothing random can be made by tfjs, which takes it from `Math.random`: use {@linkcode statelessUniform} with the seed
 *   as an input;
 * - tensors from outside are used by their value at the first call, variables by their value at each call; variables can't
 *   be assigned: return the new value, and assign that.
 *
 * Shapes of inputs may differ from call to call; each is recorded and compiled at its first call, which takes seconds for
 * a large model. Numbers and texts are passed as tensors.
 *
 * @example
 * ```ts
 * import { compile, initBackend, tf } from "./mod.ts";
 * await initBackend();
 * const step = compile((weights: tf.Tensor2D, x: tf.Tensor2D) => {
 *   const loss = (weights: tf.Tensor) => tf.sum(tf.square(tf.matMul(x, weights as tf.Tensor2D))) as tf.Scalar;
 *   const gradient = tf.grad(loss)(weights);
 *   return { weights: tf.sub(weights, tf.mul(gradient, 0.1)) };
 * });
 * const { weights } = await step(tf.ones([3, 2]), tf.ones([4, 3])); // the event loop was free meanwhile
 * console.log(weights.arraySync(), step.path);
 * step.dispose();
 * ```
 */
export function compile<Inputs extends tf.Tensor[], Result extends Results>(
  fn: (...inputs: Inputs) => Result,
  options: CompileOptions = {},
): CompiledFunction<Inputs, Result> {
  const compiler = new Compiler(fn, options);
  const call = (...inputs: Inputs) => compiler.call(inputs);
  return Object.defineProperties(call, {
    path: { get: () => compiler.path },
    reason: { get: () => compiler.reason },
    dispose: { value: () => compiler.dispose() },
  }) as CompiledFunction<Inputs, Result>;
}

/** What is known about inputs of certain shapes and types. */
interface Recorded<Result extends Results> {
  /** Undefined where it runs eagerly. */
  readonly function?: RecordedFunction<Result>;
  xla: "untried" | "works" | "unwanted";
}

/** The state behind one compiled function. */
class Compiler<Inputs extends tf.Tensor[], Result extends Results> {
  readonly #fn: (...inputs: Inputs) => Result;
  readonly #first: ExecutionPath;
  readonly #donated: readonly number[];
  readonly #blocking: boolean;
  readonly #bySignature = new Map<string, Recorded<Result>>();
  #isDisposed = false;
  path: ExecutionPath | undefined;
  reason: string | undefined;

  constructor(
    fn: (...inputs: Inputs) => Result,
    { path = "compiled", donate = [], blocking = false }: CompileOptions,
  ) {
    this.#fn = fn;
    this.#first = path;
    this.#donated = donate;
    this.#blocking = blocking;
  }

  async call(inputs: Inputs): Promise<Result> {
    if (this.#isDisposed) throw new Error("a compiled function was called after its dispose()");
    requireTensors(inputs);
    const signature = inputs.map(({ dtype, shape }) => `${dtype}[${shape}]`).join(" ");
    let recorded = this.#bySignature.get(signature);
    if (!recorded) {
      recorded = { function: this.#record(inputs), xla: this.#first === "compiled" ? "untried" : "unwanted" };
      this.#bySignature.set(signature, recorded);
    }
    if (!recorded.function) return this.#runEagerly(inputs);
    return await this.#run(recorded.function, recorded, inputs);
  }

  dispose(): void {
    this.#isDisposed = true;
    for (const recorded of this.#bySignature.values()) recorded.function?.dispose();
    this.#bySignature.clear();
  }

  #record(inputs: Inputs): RecordedFunction<Result> | undefined {
    const backend = tensorFlowBackend();
    if (this.#first === "eager") return this.#take("eager");
    if (!backend) {
      return this.#take("eager", `the backend is ${tf.getBackend()}, and only tensorflow records functions`);
    }
    try {
      return new RecordedFunction(
        backend,
        this.#fn as (...inputs: tf.Tensor[]) => Result,
        inputs,
        this.#donated,
      );
    } catch (error) {
      if (error instanceof DynamicShapeError) return this.#take("eager", error.message);
      throw error;
    }
  }

  async #run(fn: RecordedFunction<Result>, state: Recorded<Result>, inputs: Inputs): Promise<Result> {
    if (state.xla === "untried") return await this.#tryXla(fn, state, inputs);
    const result = await fn.run(inputs, { withXla: state.xla === "works", blocking: this.#blocking });
    if (state.xla === "unwanted") this.#take("recorded");
    return result;
  }

  /** Runs it with XLA, and where that fails without; what fails without too is not XLA's doing, and thrown. */
  async #tryXla(fn: RecordedFunction<Result>, state: Recorded<Result>, inputs: Inputs): Promise<Result> {
    const kept = inputs.map((input) => input.clone()); // the caller may dispose the inputs before the second run
    const again = kept.map((input) => input.clone()); // donated ones are disposed by each run
    this.#donated.forEach((i) => inputs[i].dispose());
    try {
      const result = await fn.run(kept, { withXla: true });
      state.xla = "works";
      this.#take("compiled");
      return result;
    } catch (error) {
      if (!(error instanceof TensorFlowError)) throw error;
      const result = await fn.run(again, { withXla: false });
      state.xla = "unwanted";
      this.#take("recorded", `XLA can't compile it: ${error.message}`);
      return result;
    } finally {
      tf.dispose([kept, again]);
    }
  }

  #runEagerly(inputs: Inputs): Result {
    const results = tf.tidy(() => {
      const { tensors, rebuild } = flattenResults(this.#fn(...inputs));
      // clones, so that a result that is also an input can be disposed like any other
      return rebuild(tensors.map((tensor) => tensor.clone())) as Result & tf.TensorContainer;
    });
    this.#donated.forEach((i) => inputs[i].dispose());
    return results;
  }

  #take(path: ExecutionPath, reason?: string): undefined {
    if (this.path && PATHS.indexOf(path) <= PATHS.indexOf(this.path)) return;
    this.path = path;
    this.reason = reason;
  }
}
