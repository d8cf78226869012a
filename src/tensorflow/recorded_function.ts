/**
 * A function of tfjs operations as one TensorFlow function: recorded for inputs of certain shapes, registered and run under a
 * name.
 *
 * @module
 */

import * as tf from "@tensorflow/tfjs";
import { typeAttributes } from "./attributes.ts";
import { createOutputTensor, inputIds, type TensorFlowBackend } from "./backend.ts";
import type { TensorFlowBinding, TensorMetadata } from "./binding.ts";
import { DonatedValue, matchDonations } from "./donation.ts";
import type { GraphOutput } from "./graph.ts";
import { type EagerTensor, Recording, RecordingError } from "./recording.ts";
import { type FlatResults, flattenResults, type Results } from "./results.ts";
import { Status } from "./status.ts";
import { cString } from "./symbols.ts";
import { DataType } from "./tensor.ts";

/** An input of the function. */
interface Parameter {
  /** The placeholder: of the value, or of the variable that holds it. */
  readonly input: GraphOutput;
  /** The value as the function's operations use it. */
  readonly value: GraphOutput;
}

/** The inputs of one call. */
interface Call {
  /** The operation that runs it. */
  readonly operation: Deno.PointerValue;
  /** Donated inputs by index. */
  readonly donated: ReadonlyMap<number, DonatedValue>;
}

let recordedFunctions = 0; // makes names unique within the context

/** One recorded function. */
export class RecordedFunction<Result extends Results> {
  readonly #binding: TensorFlowBinding;
  readonly #recording: Recording;
  readonly #variables: ReadonlyMap<number, tf.Variable>;
  readonly #parameters: readonly Parameter[];
  readonly #results: readonly GraphOutput[];
  /** Index of the donated input by index of the result that reuses its memory. */
  readonly #donations: ReadonlyMap<number, number>;
  readonly #rebuild: FlatResults<Result>["rebuild"];
  readonly #name: string;
  readonly #pointer: Deno.PointerValue;
  #runningCalls = 0;
  #isDisposed = false;

  /**
   * Runs `fn` once and records its operations in a graph.
   *
   * @param donated indices of the donated inputs
   * @throws {RecordingError} where `fn` does what can't be recorded
   * @throws {DynamicShapeError} where a shape in it depends on values
   * @throws {TypeError} where no result can reuse a donated input's memory
   */
  constructor(
    backend: TensorFlowBackend,
    fn: (...inputs: tf.Tensor[]) => Result,
    inputs: readonly tf.Tensor[],
    donated: readonly number[],
  ) {
    this.#binding = backend.binding;
    this.#variables = variablesById(backend);
    this.#recording = new Recording(backend.binding.context, (id) => this.#variables.has(id));
    this.#name = `recorded_${recordedFunctions++}`;
    try {
      const { graph, captures } = this.#recording;
      this.#parameters = inputIds(inputs).map((id, i) => this.#parameter(id, donated.includes(i)));
      const { results, rebuild } = this.#record(fn);
      this.#results = results;
      this.#rebuild = rebuild;
      this.#donations = matchDonations(donated, this.#parameters.map(({ value }) => value), results);
      for (const [result, input] of this.#donations) {
        graph.assignVariable(this.#parameters[input].input, results[result]);
      }
      const all = [...this.#parameters, ...captures].map(({ input }) => input);
      this.#pointer = graph.toFunction(this.#name, all, results.filter((_, i) => !this.#donations.has(i)));
      this.#register();
    } catch (error) {
      this.#recording[Symbol.dispose]();
      throw error;
    }
  }

  /** The parameter for an input like the tensor with this id. */
  #parameter(id: number, isDonated: boolean): Parameter {
    const { graph } = this.#recording;
    const { shape, dtype } = this.#binding.tensor(id);
    const input = isDonated ? graph.placeholder([], DataType.resource) : graph.placeholder(shape, dtype);
    return { input, value: isDonated ? graph.readVariable(input, shape, dtype) : input };
  }

  /** Records `fn`, and disposes the tensors that have no value. */
  #record(fn: (...inputs: tf.Tensor[]) => Result) {
    const binding = this.#binding;
    let recorded!: { results: GraphOutput[]; rebuild: FlatResults<Result>["rebuild"] };
    const record = () => {
      const parameters = this.#parameters.map(({ value }) => createOutputTensor(binding.addInput(value)));
      const { tensors, rebuild } = flattenResults(forbidUnrecordable(() => fn(...parameters)));
      const results = inputIds(tensors).map((id) => this.#recording.resolve(id, binding.tensor(id)));
      recorded = { results, rebuild };
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
   * Runs it. The inputs are passed to TensorFlow before this returns a promise, so they may be disposed then; donated ones are.
   *
   * @param options whether XLA compiles it at its first run, and whether it runs on this thread
   * @throws {TensorFlowError} where TensorFlow or XLA reports an error
   */
  async run(
    inputs: readonly tf.Tensor[],
    { withXla, blocking = false }: { withXla: boolean; blocking?: boolean },
  ): Promise<Result> {
    const { api } = this.#binding.context;
    const { operation, donated } = this.#newCall(inputs, withXla);
    for (const input of donated.keys()) inputs[input].dispose(); // memory with another holder can't be reused
    const status = new Status(api); // its own, because other calls run meanwhile
    // These two are written during the call; the uses below keep them from being garbage-collected before.
    const handles = new BigUint64Array(this.#results.length - donated.size);
    const count = Int32Array.of(handles.length);
    this.#runningCalls++;
    try {
      if (blocking) api.TFE_Execute(operation, handles, count, status.pointer);
      else await api.TFE_ExecuteNonblocking(operation, handles, count, status.pointer);
      status.check(`running a recorded function${withXla ? " with XLA" : ""}`);
      return this.#rebuild(this.#resultsOf(handles, donated));
    } finally {
      api.TFE_DeleteOp(operation);
      status[Symbol.dispose]();
      for (const value of donated.values()) value[Symbol.dispose]();
      this.#runningCalls--;
      if (this.#isDisposed) this.dispose();
    }
  }

  /** The results in their order: returned ones, and those in the variables of donated inputs. */
  #resultsOf(handles: BigUint64Array, donated: ReadonlyMap<number, DonatedValue>): tf.Tensor[] {
    let returned = 0;
    return this.#results.map(({ shape, dtype }, i) => {
      const input = this.#donations.get(i);
      const metadata: TensorMetadata = input === undefined
        ? this.#binding.adopt(Deno.UnsafePointer.create(handles[returned++]), shape, dtype)
        : donated.get(input)!.read();
      return createOutputTensor(metadata);
    });
  }

  /** The call, with all its inputs. */
  #newCall(inputs: readonly tf.Tensor[], withXla: boolean): Call {
    const { api, pointer, status, device } = this.#binding.context;
    const donated = new Map<number, DonatedValue>();
    const operation = api.TFE_NewOp(pointer, cString(this.#name), status.pointer);
    status.check(this.#name);
    try {
      api.TFE_OpSetDevice(operation, cString(device), status.pointer);
      status.check(this.#name);
      if (withXla) api.TFE_OpSetAttrBool(operation, cString("_XlaMustCompile"), 1);
      const ids = inputIds(inputs);
      const values = this.#inputsOfCall(ids);
      for (const input of this.#donations.values()) {
        const value = new DonatedValue(this.#binding, ids[input]);
        donated.set(input, value);
        values[input] = value.pointer;
      }
      for (const value of values) {
        api.TFE_OpAddInput(operation, value, status.pointer);
        status.check(this.#name);
      }
      return { operation, donated };
    } catch (error) {
      api.TFE_DeleteOp(operation);
      for (const value of donated.values()) value[Symbol.dispose]();
      throw error;
    }
  }

  /** The values of inputs and captures. Checks the shapes, since XLA does not compare them with those compiled for. */
  #inputsOfCall(ids: readonly number[]): Deno.PointerValue[] {
    const values = ids.map((id, i) => this.#valueOf(id, this.#parameters[i].value, `input ${i}`));
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
    if ("pointer" in tensor && isLike(tensor, wanted)) return tensor.pointer;
    const describe = ({ shape, dtype }: EagerTensor | GraphOutput) => `[${shape}] of type number ${dtype}`;
    throw new TypeError(
      `${what} is ${describe(tensor)}, and was ${describe(wanted)} when the function was recorded`,
    );
  }

  /** Frees it once no call is running. */
  dispose(): void {
    this.#isDisposed = true;
    if (this.#runningCalls > 0) return;
    const { api, pointer, status } = this.#binding.context;
    api.TFE_ContextRemoveFunction(pointer, cString(this.#name), status.pointer);
    status.check("removing a recorded function");
    api.TF_DeleteFunction(this.#pointer);
    this.#recording[Symbol.dispose]();
  }
}

/** Whether shape and type are the same. */
function isLike(one: EagerTensor, other: GraphOutput): boolean {
  return one.dtype === other.dtype && one.shape.length === other.shape.length &&
    one.shape.every((dimension, i) => dimension === other.shape[i]);
}

/**
 * The registered variables by the binding's id of their value. A variable that shares its value with another tensor gets a new
 * id first, so that the id identifies the variable.
 */
function variablesById(backend: TensorFlowBackend): Map<number, tf.Variable> {
  const variables = Object.values(tf.engine().registeredVariables);
  for (const variable of variables) {
    if (backend.refCount(variable.dataId) < 2) continue;
    const type = typeAttributes({ T: backend.getDTypeInteger(variable.dtype) });
    const same = backend.executeSingleOutput("Identity", type, [variable]); // shares the memory
    variable.assign(same);
    same.dispose();
  }
  return new Map(inputIds(variables).map((id, i) => [id, variables[i]]));
}

/** Runs `body`, in which actions that would happen only at recording, and not at every call, throw errors. */
function forbidUnrecordable<Result>(body: () => Result): Result {
  const { random } = Math;
  const { assign } = tf.Variable.prototype;
  Math.random = () => {
    throw new RecordingError(
      "Math.random() was called inside a recorded function, and would give the same at every call: " +
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
