import type { z } from "zod";
import type { configSchema, runSchema } from "../../src/config/schema.ts";
import type { Config, ConfigInput, RunConfig } from "../../src/config/types.ts";

/** A section's keys and values, whichever may be left out, in sections within it, too. */
type Filled<T> = {
  [Key in keyof T]-?: NonNullable<T[Key]> extends unknown[] | string | number | boolean ? NonNullable<T[Key]>
    : Filled<NonNullable<T[Key]>>;
};
/** `true` where two types are the same, and `false` where they differ. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

Deno.test("the types of a configuration are those of its schema", () => {
  // What fails here fails in the compiler: a key or a value that only one of the two has makes a `false` of it.
  true satisfies Same<Filled<RunConfig>, Filled<z.output<typeof runSchema>>>;
  true satisfies Same<Filled<Config>, Filled<z.output<typeof configSchema>>>;
  true satisfies Same<Filled<ConfigInput>, Filled<Omit<z.input<typeof configSchema>, "id">>>;
  // And what may be left out: the same in what a person writes, and no more in what is complete.
  true satisfies Config extends z.output<typeof configSchema> ? true : false;
  true satisfies z.input<typeof configSchema> extends ConfigInput & { id?: string } ? true : false;
  true satisfies ConfigInput extends z.input<typeof configSchema> ? true : false;
});
