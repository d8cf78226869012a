/**
 * What happens while a function is recorded: its operations go into a graph, the tensors that it made itself become
 * constants, and those it found outside become further inputs, called captures.
 *
 * @module
 */

import type { Context } from "./context.ts";
import { Graph, type GraphOutput } from "./graph.ts";
import { byteSizeOf, DataType } from "./tensor.ts";

/** A tensor with a value: a `TFE_TensorHandle`. */
export interface EagerTensor {
  /** Its dimensions. */
  readonly shape: number[];
  /** `TF_DataType` */
  readonly dtype: number;
  /** What is passed to the C API. */
  readonly pointer: Deno.PointerValue;
  /** The recording during which it was made. */
  readonly madeIn?: Recording;
}

/** A tensor of a recording, which has no value. */
export interface RecordedTensor extends GraphOutput {
  /** Where it belongs. */
  readonly recording: Recording;
}

/** Something that a function may not do while it is recorded. The message says what to do instead. */
export class RecordingError extends Error {
  /** "RecordingError" */
  override readonly name = "RecordingError";
}

/** A tensor from outside that the function uses: its binding id, and its value unless that is looked up at each call. */
export interface Capture {
  /** Of the binding. */
  readonly id: number;
  /** A reference to the value of its own; null for a variable. */
  readonly pointer: Deno.PointerValue;
  /** The input of the function that stands for it. */
  readonly input: GraphOutput;
}

/**
 * Constants up to this many bytes are part of the graph, where XLA needs the likes of axes and shapes. Larger ones are
 * inputs: a graph is copied and printed several times on its way through the compiler.
 */
const LARGEST_CONSTANT = 4096;

/** One recording. Its creator disposes it. */
export class Recording implements Disposable {
  /** The operations so far. */
  readonly graph: Graph;
  /** Tensors from outside, in the order in which they were met. */
  readonly captures: Capture[] = [];
  readonly #context: Context;
  readonly #isVariable: (id: number) => boolean;
  readonly #known = new Map<number, GraphOutput>();

  /**
   * An empty one.
   *
   * @param isVariable whether a binding id is that of a variable, whose value is not fixed
   */
  constructor(context: Context, isVariable: (id: number) => boolean) {
    this.#context = context;
    this.graph = new Graph(context);
    this.#isVariable = isVariable;
  }

  /** The place in the graph of a tensor that an operation or a result refers to. */
  resolve(id: number, tensor: EagerTensor | RecordedTensor): GraphOutput {
    if ("recording" in tensor) {
      if (tensor.recording === this) return tensor;
      throw new RecordingError(
        "a tensor of another recorded function was used: return it from there as a result",
      );
    }
    const known = this.#known.get(id);
    if (known) return known;
    const isSmall = tensor.dtype === DataType.string ||
      byteSizeOf(tensor.shape, tensor.dtype) <= LARGEST_CONSTANT;
    const output = tensor.madeIn === this && isSmall ? this.#constant(tensor) : this.#capture(id, tensor);
    this.#known.set(id, output);
    return output;
  }

  #constant(tensor: EagerTensor): GraphOutput {
    const { api, status } = this.#context;
    const value = api.TFE_TensorHandleResolve(tensor.pointer, status.pointer);
    status.check("reading a constant");
    try {
      return this.graph.constant(value, tensor.dtype);
    } finally {
      api.TF_DeleteTensor(value);
    }
  }

  #capture(id: number, tensor: EagerTensor): GraphOutput {
    const { api, status } = this.#context;
    const input = this.graph.placeholder(tensor.shape, tensor.dtype);
    if (this.#isVariable(id)) {
      this.captures.push({ id, pointer: null, input });
    } else {
      const pointer = api.TFE_TensorHandleCopySharingTensor(tensor.pointer, status.pointer);
      status.check("capturing a tensor");
      this.captures.push({ id, pointer, input });
    }
    return input;
  }

  /** Frees the graph and the captured values. */
  [Symbol.dispose](): void {
    this.graph[Symbol.dispose]();
    for (const { pointer } of this.captures) {
      if (pointer !== null) this.#context.api.TFE_DeleteTensorHandle(pointer);
    }
  }
}
