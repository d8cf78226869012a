/** That src/ stays a house in which a newcomer finds a room: no circles, few files in a folder, no long file. @module */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const MOST_FILES = { "src/dist": 12, "src": 21 };
const MOST_LINES = 330;

interface Source {
  /** From the root: "src/dist/worker.ts". */
  path: string;
  lines: number;
  /** Files of `src/` that it imports, types too. */
  imports: string[];
}

function* filesIn(folder: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(`${root}${folder}`)) {
    if (isDirectory) yield* filesIn(`${folder}/${name}`);
    else if (name.endsWith(".ts")) yield `${folder}/${name}`;
  }
}

const sources = [...filesIn("src")].sort().map((path): Source => {
  const text = Deno.readTextFileSync(`${root}${path}`);
  const code = text.replaceAll(/\/\*[^]*?\*\//g, "");
  const imports = [...code.matchAll(/(?:\bfrom|\bimport\(|^import) ?"(\.[^"]+\.ts)"/gm)]
    .map(([, specifier]) => new URL(specifier, `file:///${path}`).pathname.slice(1));
  return { path, lines: text.split("\n").length - 1, imports };
});

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/"));

/** A circle in a graph, if there is one. */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const follow = (node: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(node)) return [...path.slice(path.indexOf(node)), node];
    if (done.has(node)) return undefined;
    for (const next of graph.get(node) ?? []) {
      const circle = follow(next, [...path, node]);
      if (circle) return circle;
    }
    done.add(node);
  };
  for (const node of graph.keys()) {
    const circle = follow(node, []);
    if (circle) return circle;
  }
}

Deno.test("imports are found, those of types too", () => {
  const worker = sources.find(({ path }) => path === "src/dist/worker.ts")!;
  assert.ok(worker.imports.includes("src/dist/replica/replica.ts"));
  assert.ok(sources.length > 150);
  assert.deepEqual(circleIn(new Map([["a", ["b"]], ["b", ["c"]], ["c", ["b"]]])), ["b", "c", "b"]);
});

Deno.test("no circle among the files of src/", () => {
  assert.equal(
    circleIn(new Map(sources.map(({ path, imports }) => [path, imports])))?.join(" → "),
    undefined,
  );
});

Deno.test("no circle among the folders of src/", () => {
  const graph = new Map<string, string[]>();
  for (const { path, imports } of sources) {
    const others = imports.map(folderOf).filter((folder) => folder !== folderOf(path));
    graph.set(folderOf(path), [...graph.get(folderOf(path)) ?? [], ...others]);
  }
  assert.equal(circleIn(graph)?.join(" → "), undefined);
});

Deno.test("no folder of src/ has too many files, and no file too many lines", () => {
  const counts = new Map<string, number>();
  for (const { path } of sources) counts.set(folderOf(path), (counts.get(folderOf(path)) ?? 0) + 1);
  const isFull = ([folder, count]: [string, number]) =>
    count > MOST_FILES[folder.startsWith("src/dist") ? "src/dist" : "src"];
  assert.deepEqual([...counts].filter(isFull), []);
  assert.deepEqual(
    sources.filter(({ lines }) => lines > MOST_LINES).map(({ path, lines }) => [path, lines]),
    [],
  );
});

Deno.test("every file that a module names by its path is there: no compiler looks at these", () => {
  const named = ["src", "tools", "tests"].flatMap((folder) => [...filesIn(folder)]).flatMap((path) => {
    const text = Deno.readTextFileSync(`${root}${path}`);
    return [...text.matchAll(/new URL\(\s*"([^"]+\.\w+)",\s*import\.meta\.url/g)]
      .map(([, name]) => ({ path, target: new URL(name, `file:///${path}`).pathname.slice(1) }));
  });
  assert.ok(named.length > 20, `${named.length} found`);
  const missing = named.filter(({ target }) => !existsSync(`${root}${target}`));
  assert.deepEqual(missing, []);
});
