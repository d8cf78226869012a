/**
 * Attributes of operations: tfjs's kernels pass a type and a value; TensorFlow has one function per type, in two sets: for
 * eager operations and for operations of a graph.
 *
 * @module
 */

import type { TFEOpAttr } from "@tensorflow/tfjs-node-gpu/dist/tfjs_binding.js";
import type { Status } from "./status.ts";
import { cString, int64s, type TensorFlowApi } from "./symbols.ts";

/** `TF_AttrType` as tfjs's kernels use it. */
export const AttributeType = {
  string: 0,
  int: 1,
  float: 2,
  bool: 3,
  type: 4,
  shape: 5,
  resource: 9,
} as const;

/** The functions of TensorFlow that set one attribute of an operation under construction. */
export interface AttributeSetters {
  /** A text, as bytes. */
  string(op: Deno.PointerValue, name: BufferSource, value: BufferSource, length: bigint): void;
  /** A whole number. */
  int(op: Deno.PointerValue, name: BufferSource, value: bigint): void;
  /** Several, as 64-bit integers. */
  intList(op: Deno.PointerValue, name: BufferSource, values: BufferSource, count: number): void;
  /** A number. */
  float(op: Deno.PointerValue, name: BufferSource, value: number): void;
  /** 1 or 0. */
  bool(op: Deno.PointerValue, name: BufferSource, value: number): void;
  /** A `TF_DataType`. */
  type(op: Deno.PointerValue, name: BufferSource, value: number): void;
  /** A shape, as 64-bit integers. */
  shape(op: Deno.PointerValue, name: BufferSource, dimensions: BufferSource, rank: number): void;
}

/** Setters for eager operations. */
export function eagerSetters(api: TensorFlowApi, status: Status): AttributeSetters {
  return {
    string: api.TFE_OpSetAttrString,
    int: api.TFE_OpSetAttrInt,
    intList: api.TFE_OpSetAttrIntList,
    float: api.TFE_OpSetAttrFloat,
    bool: api.TFE_OpSetAttrBool,
    type: api.TFE_OpSetAttrType,
    shape(op, name, dimensions, rank) {
      api.TFE_OpSetAttrShape(op, name, dimensions, rank, status.pointer);
      status.check("setting a shape");
    },
  };
}

/** Setters for operations of a graph. */
export function graphSetters(api: TensorFlowApi): AttributeSetters {
  return {
    string: api.TF_SetAttrString,
    int: api.TF_SetAttrInt,
    intList: api.TF_SetAttrIntList,
    float: api.TF_SetAttrFloat,
    bool: api.TF_SetAttrBool,
    type: api.TF_SetAttrType,
    shape: api.TF_SetAttrShape,
  };
}

/** Attributes that are data types, by name. */
export function typeAttributes(byName: Readonly<Record<string, number>>): TFEOpAttr[] {
  return Object.entries(byName).map(([name, value]) => ({ name, type: AttributeType.type, value }));
}

const encoder = new TextEncoder();

/**
 * Sets one attribute.
 *
 * @throws {TypeError} for a type or value that no kernel of tfjs uses
 */
export function setAttribute(set: AttributeSetters, op: Deno.PointerValue, attribute: TFEOpAttr): void {
  const { type, value } = attribute;
  const name = cString(attribute.name);
  if (type === AttributeType.string && typeof value === "string") {
    const text = encoder.encode(value);
    set.string(op, name, text, BigInt(text.length));
  } else if (type === AttributeType.int && Array.isArray(value)) {
    set.intList(op, name, int64s(value), value.length);
  } else if (type === AttributeType.int && typeof value === "number") {
    set.int(op, name, BigInt(Math.trunc(value)));
  } else if (type === AttributeType.float && typeof value === "number") {
    set.float(op, name, value);
  } else if (type === AttributeType.bool) {
    set.bool(op, name, value ? 1 : 0);
  } else if (type === AttributeType.type && typeof value === "number") {
    set.type(op, name, value);
  } else if (type === AttributeType.shape && Array.isArray(value)) {
    set.shape(op, name, int64s(value), value.length);
  } else {
    throw new TypeError(
      `attribute ${attribute.name}: type number ${type} with value ${value} is not supported`,
    );
  }
}
