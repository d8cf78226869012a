/**
 * Where TensorFlow's memory comes from, and when it goes back to the system. Loads nothing of TensorFlow itself.
 *
 * @module
 */

/**
 * Variables of a process that trains, to be set before it starts: what a step needs comes from malloc, which gives it back
 * between a gradient and its update, instead of from the pool that oneDNN keeps (1.2 against 1.8 GB at 13 million
 * parameters); and in huge pages, without which getting it anew takes a quarter of each step.
 */
export const WORKER_ENVIRONMENT: Readonly<Record<string, string>> = {
  TF_ONEDNN_USE_SYSTEM_ALLOCATOR: "true",
  GLIBC_TUNABLES: "glibc.malloc.hugetlb=1",
};

/** Gives memory that malloc holds and nobody uses back to the system. Compiling leaves a quarter of a gigabyte of it. */
export function trimMemory(): void {
  if (Deno.build.os !== "linux") return;
  const libc = Deno.dlopen("libc.so.6", {
    malloc_trim: { parameters: ["usize"], result: "i32", optional: true }, // musl has none
  });
  libc.symbols.malloc_trim?.(0n);
  libc.close();
}
