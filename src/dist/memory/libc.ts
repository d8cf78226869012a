/**
 * What is called of the C library, and how its errors are told. Linux only.
 *
 * @module
 */

import { errorMessage } from "../../errors.ts";

/** Why memory can't be shared: the caller works by messages then. Not thrown, since it is no fault. */
export interface Refusal {
  /** One line: what was tried, and why it can't be. */
  readonly refused: string;
}

/** Functions of glibc 2.28 and later, with the types of 64-bit Linux. */
const SYMBOLS = {
  memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  ftruncate: { parameters: ["i32", "i64"], result: "i32" },
  posix_fallocate: { parameters: ["i32", "i64", "i64"], result: "i32" },
  fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
  readlink: { parameters: ["buffer", "buffer", "usize"], result: "isize" },
  open: { parameters: ["buffer", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  statx: { parameters: ["i32", "buffer", "i32", "u32", "buffer"], result: "i32" },
  geteuid: { parameters: [], result: "u32" },
  mmap: { parameters: ["pointer", "usize", "i32", "i32", "i32", "i64"], result: "pointer" },
  munmap: { parameters: ["pointer", "usize"], result: "i32" },
  strerror: { parameters: ["i32"], result: "pointer" },
  __errno_location: { parameters: [], result: "pointer" },
} as const;

/** The C library, opened: whoever holds it closes it. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>;

/** Opens the C library, or says why that can't be. */
export function openLibc(): Libc | Refusal {
  if (Deno.build.os !== "linux") {
    return { refused: `only Linux has memfd_create, and this is ${Deno.build.os}` };
  }
  try {
    return Deno.dlopen("libc.so.6", SYMBOLS);
  } catch (error) { // no permission, another C library, or an older one
    return { refused: `the C library can't be called: ${errorMessage(error)}` };
  }
}

/** The message of a number of `errno`. */
export function messageOf(libc: Libc, errno: number): string {
  const text = libc.symbols.strerror(errno);
  return text ? Deno.UnsafePointerView.getCString(text) : `error ${errno}`;
}

/** Why the call that has just returned has failed. Only for people: Deno promises nothing about `errno`. */
export function lastError(libc: Libc): string {
  const errno = libc.symbols.__errno_location();
  return errno ? messageOf(libc, new Deno.UnsafePointerView(errno).getInt32()) : "unknown error";
}

/** A zero-terminated string. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
