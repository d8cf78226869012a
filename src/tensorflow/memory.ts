/**
 * Settings of malloc for TensorFlow: where its memory comes from, and when it is returned to the system. Imports nothing of
 * TensorFlow itself.
 *
 * @module
 */

/**
 * Environment variables of a training process, to be set before it starts. All threads share one arena of malloc: XLA compiles on
 * many threads, and each would keep an arena of 50 MB afterwards. malloc uses huge pages: on some processors a step is a
 * fifth faster with them, on others only the first step is up to a second slower (docs/benchmarks.md).
 */
export const WORKER_ENVIRONMENT: Readonly<Record<string, string>> = {
  GLIBC_TUNABLES: "glibc.malloc.arena_max=1:glibc.malloc.hugetlb=1",
};

/** `M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` in glibc's `malloc.h`. */
const TRIM_THRESHOLD = -1, MMAP_THRESHOLD = -3;
/** Larger allocations, in bytes, still come from the system and are returned to it. */
const LARGEST_KEPT = 200_000_000;

/**
 * For the time after compiling: gives memory that malloc holds unused back to the system, of which compiling leaves a
 * quarter of a gigabyte, and has malloc keep from then on what is freed, because gradients come and go at every step, and
 * fresh memory costs a twentieth of one.
 */
export function trimMemory(): void {
  if (Deno.build.os !== "linux") return;
  const libc = Deno.dlopen("libc.so.6", { // musl has neither
    malloc_trim: { parameters: ["usize"], result: "i32", optional: true },
    mallopt: { parameters: ["i32", "i32"], result: "i32", optional: true },
  });
  libc.symbols.malloc_trim?.(0n);
  libc.symbols.mallopt?.(MMAP_THRESHOLD, LARGEST_KEPT);
  libc.symbols.mallopt?.(TRIM_THRESHOLD, LARGEST_KEPT);
  libc.close();
}
