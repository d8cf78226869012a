/**
 * Buffer donation: a result of a recorded function reuses the memory of an input, so that a large state is updated in place.
 * For the call the value is put into a resource variable of TensorFlow's: XLA writes a variable's new value over the
 * old one where nothing else holds it.
 *
 * @module
 */

import { AttributeType, typeAttributes } from "./attributes.ts";
import type { TensorFlowBinding, TensorMetadata } from "./binding.ts";
import type { GraphOutput } from "./graph.ts";
import type { EagerTensor } from "./recording.ts";

/** `ResourceHandle::ANONYMOUS_NAME` of TensorFlow: each variable with this name is a new one. */
const ANONYMOUS = "cd2c89b7-88b7-44c8-ad83-06c2a9158347";

/** A donated input: a variable for one call. */
export class DonatedValue implements Disposable {
  readonly #binding: TensorFlowBinding;
  readonly #dtype: number;
  readonly #handle: TensorMetadata;

  /** A variable with the value of a tensor, not copied. */
  constructor(binding: TensorFlowBinding, id: number) {
    const { shape, dtype } = binding.tensor(id);
    this.#binding = binding;
    this.#dtype = dtype;
    const attributes = [
      ...typeAttributes({ dtype }),
      { name: "shape", type: AttributeType.shape, value: shape },
      { name: "shared_name", type: AttributeType.string, value: ANONYMOUS },
    ];
    [this.#handle] = binding.executeOp("VarHandleOp", attributes, [], 1);
    this.#run("AssignVariableOp", [this.#handle.id, id], 0);
  }

  /** The variable's handle, an input of the call. */
  get pointer(): Deno.PointerValue {
    return (this.#binding.tensor(this.#handle.id) as EagerTensor).pointer;
  }

  /** The value after the call. */
  read(): TensorMetadata {
    return this.#run("ReadVariableOp", [this.#handle.id], 1)[0];
  }

  /** Removes the variable. A value that was read stays. */
  [Symbol.dispose](): void {
    this.#binding.executeOp("DestroyResourceOp", [], [this.#handle.id], 0);
    this.#binding.deleteTensor(this.#handle.id);
  }

  #run(name: string, inputs: number[], outputs: number): TensorMetadata[] {
    return this.#binding.executeOp(name, typeAttributes({ dtype: this.#dtype }), inputs, outputs);
  }
}

/**
 * Which result reuses the memory of which donated input: for each input in turn the first result of the same shape and type
 * that is still free. Returns input indices by result index.
 *
 * @throws {TypeError} where there is none
 */
export function matchDonations(
  donated: readonly number[],
  inputs: readonly GraphOutput[],
  results: readonly GraphOutput[],
): Map<number, number> {
  const inputOf = new Map<number, number>();
  for (const input of donated) {
    const { shape, dtype } = inputs[input];
    const found = results.findIndex((result, i) =>
      !inputOf.has(i) && result.dtype === dtype && String(result.shape) === String(shape)
    );
    if (found < 0) {
      throw new TypeError(
        `input ${input} is donated, and no result of shape [${shape}] and its type is there to take its memory`,
      );
    }
    inputOf.set(found, input);
  }
  return inputOf;
}
