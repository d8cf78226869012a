/**
 * A TensorFlow graph under construction: operations are recorded instead of run, and TensorFlow's shape inference gives the
 * shapes of their results.
 *
 * @module
 */

import type { TFEOpAttr } from "@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js";
import { type AttributeSetters, graphSetters, setAttribute } from "./attributes.ts";
import type { Context } from "./context.ts";
import { cString, int64s } from "./symbols.ts";

/** One result of one operation of a graph. */
export interface GraphOutput {
  /** Its dimensions, all known. */
  readonly shape: number[];
  /** `TF_DataType` */
  readonly dtype: number;
  /** `TF_Output`: the operation's pointer and the result's index. */
  readonly output: Uint8Array<ArrayBuffer>;
}

/** A function whose shapes depend on values: it can run, but not be recorded. */
export class DynamicShapeError extends Error {
  /** "DynamicShapeError" */
  override readonly name = "DynamicShapeError";
}

/** Bytes of a `TF_Output`. */
const OUTPUT_BYTES = 16;

/**
 * Operations whose first inputs are one list of any length. A graph takes them as a list; tfjs's kernels pass them one by one,
 * with their number as attribute N. The value is how many inputs follow the list.
 */
const INPUTS_AFTER_LIST: Record<string, number> = { AddN: 0, ConcatV2: 1, Einsum: 0, Pack: 0 };

/** A `TF_Graph`. */
export class Graph implements Disposable {
  readonly #context: Context;
  readonly #pointer: Deno.PointerValue;
  readonly #setters: AttributeSetters;
  #operations = 0;
  /** Operations with side effects. */
  readonly #effects: Deno.PointerValue[] = [];

  /** An empty one. */
  constructor(context: Context) {
    this.#context = context;
    this.#pointer = context.api.TF_NewGraph();
    this.#setters = graphSetters(context.api);
  }

  /** How many operations it holds. */
  get size(): number {
    return this.#operations;
  }

  /** A placeholder, which becomes an input of the function. */
  placeholder(shape: readonly number[], dtype: number): GraphOutput {
    const { api } = this.#context;
    const operation = this.#begin("Placeholder");
    api.TF_SetAttrType(operation, cString("dtype"), dtype);
    api.TF_SetAttrShape(operation, cString("shape"), int64s(shape), shape.length);
    return this.#finish("Placeholder", operation, 1)[0];
  }

  /** The value of a resource variable, an input of the function, of a shape that is known without it. */
  readVariable(variable: GraphOutput, shape: readonly number[], dtype: number): GraphOutput {
    const { api, status } = this.#context;
    const operation = this.#begin("ReadVariableOp");
    api.TF_AddInput(operation, variable.output);
    api.TF_SetAttrType(operation, cString("dtype"), dtype);
    const output = outputOf(this.#end("ReadVariableOp", operation), 0);
    api.TF_GraphSetTensorShape(this.#pointer, output, int64s(shape), shape.length, status.pointer);
    status.check("ReadVariableOp");
    return this.#describe("ReadVariableOp", output);
  }

  /** Gives a resource variable a value when the function runs. */
  assignVariable(variable: GraphOutput, value: GraphOutput): void {
    const { api } = this.#context;
    const operation = this.#begin("AssignVariableOp");
    for (const input of [variable, value]) api.TF_AddInput(operation, input.output);
    api.TF_SetAttrType(operation, cString("dtype"), value.dtype);
    this.#effects.push(this.#end("AssignVariableOp", operation));
  }

  /** A constant with the value of a `TF_Tensor`, which is copied. */
  constant(tensor: Deno.PointerValue, dtype: number): GraphOutput {
    const { api, status } = this.#context;
    const operation = this.#begin("Const");
    api.TF_SetAttrTensor(operation, cString("value"), tensor, status.pointer);
    status.check("Const");
    api.TF_SetAttrType(operation, cString("dtype"), dtype);
    return this.#finish("Const", operation, 1)[0];
  }

  /**
   * Any operation, as tfjs's kernels request it.
   *
   * @throws {TensorFlowError} where TensorFlow refuses it, for example for its shapes
   * @throws {DynamicShapeError} where the shape of a result depends on values
   */
  operation(
    name: string,
    attributes: readonly TFEOpAttr[],
    inputs: readonly GraphOutput[],
    outputs: number,
  ): GraphOutput[] {
    const operation = this.#begin(name);
    const afterList = INPUTS_AFTER_LIST[name];
    this.#addInputs(operation, inputs, afterList === undefined ? 0 : inputs.length - afterList);
    for (const attribute of attributes) {
      if (attribute.name === "N" && afterList !== undefined) continue; // follows from the list
      setAttribute(this.#setters, operation, attribute);
    }
    return this.#finish(name, operation, outputs);
  }

  /** Makes a `TF_Function` of the whole graph. */
  toFunction(
    name: string,
    inputs: readonly GraphOutput[],
    outputs: readonly GraphOutput[],
  ): Deno.PointerValue {
    const { api, status } = this.#context;
    const [from, to] = [packed(inputs), packed(outputs)];
    const [count, results] = [inputs.length, outputs.length];
    const effects = BigUint64Array.from(this.#effects, (effect) => Deno.UnsafePointer.value(effect));
    const made = api.TF_GraphToFunctionWithControlOutputs(
      ...[this.#pointer, cString(name), 0] as const,
      ...[-1, null] as const, // all operations
      ...[count, from, results, to, null] as const,
      ...[effects.length, effects, null] as const,
      ...[null, cString(name), status.pointer] as const,
    );
    status.check("making a function of the recorded operations");
    return made;
  }

  /** Frees it. A function made of it remains valid. */
  [Symbol.dispose](): void {
    this.#context.api.TF_DeleteGraph(this.#pointer);
  }

  #begin(name: string): Deno.PointerValue {
    return this.#context.api.TF_NewOperation(
      this.#pointer,
      cString(name),
      bytesOf(`op${this.#operations++}`),
    );
  }

  #addInputs(operation: Deno.PointerValue, inputs: readonly GraphOutput[], listed: number): void {
    const { api } = this.#context;
    if (listed > 0) api.TF_AddInputList(operation, packed(inputs.slice(0, listed)), listed);
    for (const input of inputs.slice(listed)) api.TF_AddInput(operation, input.output);
  }

  #finish(name: string, operation: Deno.PointerValue, outputs: number): GraphOutput[] {
    const finished = this.#end(name, operation);
    return Array.from({ length: outputs }, (_, index) => this.#describe(name, outputOf(finished, index)));
  }

  #end(name: string, operation: Deno.PointerValue): Deno.PointerValue {
    const { api, status } = this.#context;
    const finished = api.TF_FinishOperation(operation, status.pointer);
    status.check(name);
    return finished;
  }

  #describe(name: string, output: Uint8Array<ArrayBuffer>): GraphOutput {
    const { api, status } = this.#context;
    const rank = api.TF_GraphGetTensorNumDims(this.#pointer, output, status.pointer);
    status.check(name);
    const dimensions = new BigInt64Array(Math.max(rank, 0));
    if (rank > 0) api.TF_GraphGetTensorShape(this.#pointer, output, dimensions, rank, status.pointer);
    status.check(name);
    const shape = Array.from(dimensions, Number);
    if (rank < 0 || shape.some((dimension) => dimension < 0)) {
      throw new DynamicShapeError(`the shape that comes out of ${name} depends on values`);
    }
    return { shape, dtype: api.TF_OperationOutputType(output), output };
  }
}

function outputOf(operation: Deno.PointerValue, index: number): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(OUTPUT_BYTES));
  view.setBigUint64(0, Deno.UnsafePointer.value(operation), true);
  view.setInt32(8, index, true);
  return new Uint8Array(view.buffer);
}

function packed(outputs: readonly GraphOutput[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(OUTPUT_BYTES * outputs.length);
  outputs.forEach(({ output }, i) => bytes.set(output, OUTPUT_BYTES * i));
  return bytes;
}

/** Like `cString`, for names that are used only once. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
