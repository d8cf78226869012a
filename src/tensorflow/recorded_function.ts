/**
 * A function of tfjs operations as one function of TensorFlow: recorded for inputs of certain shapes, and run by name.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import { createOutputTensor, inputIds, type TensorFlowBackend } from "./backend.ts";
import type { TensorFlowBinding } from "./binding.ts";
import type { GraphOutput } from "./graph.ts";
import { type EagerTensor, Recording, RecordingError } from "./recording.ts";
import { type FlatResults, flattenResults, type Results } from "./results.ts";
import { Status } from "./status.ts";
import { cString } from "./symbols.ts";

let recordedFunctions = 0; // for names: each function of a context has its own

/** One recorded function. */
export class RecordedFunction<Result extends Results> {
  readonly #binding: TensorFlowBinding;
  readonly #recording: Recording;
  readonly #variables: ReadonlyMap<number, tf.Variable>;
  readonly #parameters: readonly GraphOutput[];
  readonly #outputs: readonly GraphOutput[];
  readonly #rebuild: FlatResults<Result>["rebuild"];
  readonly #name: string;
  readonly #pointer: Deno.PointerValue;
  #callsUnderWay = 0;
  #isDisposed = false;

  /**
   * Runs `fn` once with its operations going into a graph.
   *
   * @throws {RecordingError} where `fn` does what can't be recorded
   * @throws {DynamicShapeError} where a shape in it depends on values
   */
  constructor(
    backend: TensorFlowBackend,
    fn: (...inputs: tf.Tensor[]) => Result,
    inputs: readonly tf.Tensor[],
  ) {
    this.#binding = backend.binding;
    this.#variables = variablesById(backend);
    this.#recording = new Recording(backend.binding.context, (id) => this.#variables.has(id));
    this.#name = `recorded_${recordedFunctions++}`;
    try {
      const { graph, captures } = this.#recording;
      this.#parameters = inputIds(inputs).map((id) => {
        const { shape, dtype } = this.#binding.tensor(id);
        return graph.placeholder(shape, dtype);
      });
      const { outputs, rebuild } = this.#record(fn);
      this.#outputs = outputs;
      this.#rebuild = rebuild;
      const all = [...this.#parameters, ...captures.map((capture) => capture.input)];
      this.#pointer = graph.toFunction(this.#name, all, outputs);
      this.#register();
    } catch (error) {
      this.#recording[Symbol.dispose]();
      throw error;
    }
  }

  /** Records `fn`, and disposes the tensors that have no value. */
  #record(fn: (...inputs: tf.Tensor[]) => Result) {
    const binding = this.#binding;
    let recorded!: { outputs: GraphOutput[]; rebuild: FlatResults<Result>["rebuild"] };
    const record = () => {
      const parameters = this.#parameters.map((input) => createOutputTensor(binding.addInput(input)));
      const { tensors, rebuild } = flattenResults(whileUnrepeatableThingsThrow(() => fn(...parameters)));
      const outputs = inputIds(tensors).map((id) => this.#recording.resolve(id, binding.tensor(id)));
      recorded = { outputs, rebuild };
    };
    binding.record(this.#recording, () => tf.tidy(record));
    return recorded;
  }

  #register(): void {
    const { api, pointer, status } = this.#binding.context;
    api.TFE_ContextAddFunction(pointer, this.#pointer, status.pointer);
    status.check("registering a recorded function");
  }

  /**
   * Runs it on another thread. Everything is handed over before this returns a promise, so the inputs may be disposed then.
   *
   * @param withXla whether XLA compiles it at its first run
   * @throws {TensorFlowError} what TensorFlow or XLA says
   */
  async run(inputs: readonly tf.Tensor[], withXla: boolean): Promise<Result> {
    const { api } = this.#binding.context;
    const operation = this.#newOperation(inputs, withXla);
    const status = new Status(api); // of its own, because others run meanwhile
    // These two are written to during the call, and the uses below keep them from being collected before.
    const handles = new BigUint64Array(this.#outputs.length);
    const count = Int32Array.of(handles.length);
    this.#callsUnderWay++;
    try {
      await api.TFE_ExecuteNonblocking(operation, handles, count, status.pointer);
      status.check(`running a recorded function${withXla ? " with XLA" : ""}`);
    } finally {
      api.TFE_DeleteOp(operation);
      status[Symbol.dispose]();
      this.#callsUnderWay--;
      if (this.#isDisposed) this.dispose();
    }
    const results = Array.from(handles.subarray(0, count[0]), (handle, i) => {
      const { shape, dtype } = this.#outputs[i];
      return createOutputTensor(this.#binding.adopt(Deno.UnsafePointer.create(handle), shape, dtype));
    });
    return this.#rebuild(results);
  }

  /** The call, with all its inputs. */
  #newOperation(inputs: readonly tf.Tensor[], withXla: boolean): Deno.PointerValue {
    const { api, pointer, status } = this.#binding.context;
    const operation = api.TFE_NewOp(pointer, cString(this.#name), status.pointer);
    status.check(this.#name);
    try {
      if (withXla) api.TFE_OpSetAttrBool(operation, cString("_XlaMustCompile"), 1);
      for (const input of this.#inputsOfCall(inputs)) {
        api.TFE_OpAddInput(operation, input, status.pointer);
        status.check(this.#name);
      }
      return operation;
    } catch (error) {
      api.TFE_DeleteOp(operation);
      throw error;
    }
  }

  /** The values of inputs and captures. XLA does not compare shapes with what it compiled for, so this does. */
  #inputsOfCall(inputs: readonly tf.Tensor[]): Deno.PointerValue[] {
    const values = inputIds(inputs).map((id, i) => this.#valueOf(id, this.#parameters[i], `input ${i}`));
    const captured = this.#recording.captures.map(({ id, pointer, input }) => {
      if (pointer !== null) return pointer;
      const variable = this.#variables.get(id)!;
      if (variable.isDisposed) {
        throw new Error(`a recorded function uses variable ${variable.name}, which is disposed`);
      }
      return this.#valueOf(inputIds([variable])[0], input, `variable ${variable.name}`);
    });
    return [...values, ...captured];
  }

  #valueOf(id: number, wanted: GraphOutput, what: string): Deno.PointerValue {
    const tensor = this.#binding.tensor(id);
    const describe = ({ shape, dtype }: EagerTensor | GraphOutput) => `[${shape}] of type number ${dtype}`;
    if (!("pointer" in tensor) || describe(tensor) !== describe(wanted)) {
      throw new TypeError(
        `${what} is ${describe(tensor)}, and was ${describe(wanted)} when the function was recorded`,
      );
    }
    return tensor.pointer;
  }

  /** Frees it once no call is under way. */
  dispose(): void {
    this.#isDisposed = true;
    if (this.#callsUnderWay > 0) return;
    const { api, pointer, status } = this.#binding.context;
    api.TFE_ContextRemoveFunction(pointer, cString(this.#name), status.pointer);
    status.check("removing a recorded function");
    api.TF_DeleteFunction(this.#pointer);
    this.#recording[Symbol.dispose]();
  }
}

/**
 * The registered variables by the binding's id of their value. One that shares its value with another tensor gets an id of
 * its own first, so that the id tells which of them a function uses.
 */
function variablesById(backend: TensorFlowBackend): Map<number, tf.Variable> {
  const variables = Object.values(tf.engine().registeredVariables);
  for (const variable of variables) {
    if (backend.refCount(variable.dataId) < 2) continue;
    const type = {
      name: "T",
      type: backend.binding.TF_ATTR_TYPE,
      value: backend.getDTypeInteger(variable.dtype),
    };
    const same = backend.executeSingleOutput("Identity", [type], [variable]); // shares the memory
    variable.assign(same);
    same.dispose();
  }
  return new Map(inputIds(variables).map((id, i) => [id, variables[i]]));
}

/** Runs `body` with errors in place of what would happen once instead of at every call. */
function whileUnrepeatableThingsThrow<Result>(body: () => Result): Result {
  const { random } = Math;
  const { assign } = tf.Variable.prototype;
  Math.random = () => {
    throw new RecordingError(
      "something random was made inside a recorded function, and would be the same at every call: " +
        "use statelessUniform() with the seed as an input",
    );
  };
  tf.Variable.prototype.assign = () => {
    throw new RecordingError(
      "a variable was assigned inside a recorded function: return the new value, and assign it after the call",
    );
  };
  try {
    return body();
  } finally {
    Math.random = random;
    tf.Variable.prototype.assign = assign;
  }
}
