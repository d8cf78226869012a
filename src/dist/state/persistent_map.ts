/**
 * A map that does not change, of which a changed copy is cheap: it shares the entries of the original, and has the few that differ
 * beside them.
 *
 * @module
 */

/** Most entries that differ; then all are copied. */
const MOST_CHANGES = 32;

/** A map with one entry that is new or has changed, in the order of a `Map`. The original stays as it is. */
export function withEntry<K, V>(map: ReadonlyMap<K, V>, key: K, value: V): ReadonlyMap<K, V> {
  const { base, changes } = map instanceof ChangedMap ? map : new ChangedMap<K, V>(map, new Map());
  const isCheap = base.has(key) && (changes.size < MOST_CHANGES || changes.has(key));
  return isCheap
    ? new ChangedMap<K, V>(base, new Map(changes).set(key, value))
    : new Map(map).set(key, value);
}

/** Entries of a base, some with another value. */
class ChangedMap<K, V> implements ReadonlyMap<K, V> {
  constructor(readonly base: ReadonlyMap<K, V>, readonly changes: ReadonlyMap<K, V>) {}

  get size(): number {
    return this.base.size;
  }

  has(key: K): boolean {
    return this.base.has(key);
  }

  get(key: K): V | undefined {
    return (this.changes.has(key) ? this.changes : this.base).get(key);
  }

  keys(): MapIterator<K> {
    return this.base.keys();
  }

  *values(): MapIterator<V> {
    for (const key of this.base.keys()) yield this.get(key)!;
  }

  entries(): MapIterator<[K, V]> {
    return this[Symbol.iterator]();
  }

  *[Symbol.iterator](): MapIterator<[K, V]> {
    for (const key of this.base.keys()) yield [key, this.get(key)!];
  }

  forEach(callback: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) callback(value, key, this);
  }
}
