/**
 * Keys that a configuration had once. Run folders of earlier versions still have them.
 *
 * @module
 */

import { ConfigError } from "../errors.ts";
import { isRecord } from "../records.ts";

/** A key that was removed. */
interface Removed {
  /** Its value where leaving it out changes nothing. */
  readonly unchanged: unknown;
  /** What holds instead. */
  readonly reason: string;
}

const REMOVED: Readonly<Record<string, Removed>> = {
  "dist.rounding": {
    unchanged: "nearest",
    reason: "int8 always rounds to nearest, and error feedback corrects the rounding errors",
  },
};

/** Why there is no such key any more; undefined where there never was one. */
export function reasonRemoved(path: string): string | undefined {
  return REMOVED[path] && `it was removed: ${REMOVED[path].reason}`;
}

/**
 * Takes removed keys out of a configuration, where that changes nothing.
 *
 * @returns a line for each
 * @throws {ConfigError} where one has a value that is no longer possible
 */
export function dropRemoved(config: unknown): string[] {
  return Object.entries(REMOVED).flatMap(([path, { unchanged, reason }]) => {
    const keys = path.split("."), last = keys.pop()!;
    const section = keys.reduce<unknown>((at, key) => isRecord(at) ? at[key] : undefined, config);
    if (!isRecord(section) || section[last] === undefined) return [];
    if (section[last] !== unchanged) {
      const found = JSON.stringify(section[last]);
      throw new ConfigError([
        `${path}: found ${found}, but it was removed: ${reason}; delete it to continue without it`,
      ]);
    }
    delete section[last];
    return [`${path}: dropped, since ${reason}`];
  });
}
