/**
 * Our rules for `deno lint`: who may import whom (docs/architecture.md), and that nothing in `src/` prints.
 *
 * @module
 */

/** Packages that only these places may import: all other files go through them. */
const PACKAGE_OWNERS: Record<string, string[]> = {
  "@tensorflow/": ["src/tensorflow/"],
  "nats": ["src/dist/nats/"],
  "@zip.js/": ["src/data/zip.ts"],
  // What comes from outside is checked at its doors: what a person wrote, what other processes say, and what files hold.
  "zod": ["src/config/", "src/dist/protocol/", "src/run/folder/", "src/checkpoint/files.ts"],
  "uplot": ["src/dashboard/page_files.ts"],
  "js-yaml": ["src/std/yaml.ts"],
  "minimist": ["src/std/parse_args.ts"],
};

/** What a run is put together from. */
const BELOW_RUN = [
  ...["src/checkpoint/", "src/config/", "src/data/", "src/dist/", "src/model/", "src/packages/"],
  "src/tensorboard/",
  "src/tensorflow/",
];

/**
 * Which folders of `src/` a file may import besides its own: those of the longest entry that its path begins with. Files that
 * stand in `src/` itself may be imported by all. A folder with a `mod.ts` in {@linkcode DOORS} is imported by that alone.
 */
const MAY_IMPORT: Record<string, string[]> = {
  "src/": [],
  "src/std/": [],
  "src/packages/": [],
  "src/tensorboard/": [],
  "src/tensorflow/": ["src/packages/"],
  "src/model/": ["src/tensorflow/"],
  "src/config/": ["src/dist/", "src/model/"],
  "src/data/": ["src/config/", "src/packages/"],
  "src/checkpoint/": ["src/dist/", "src/tensorflow/"],
  "src/dist/vectors/": [],
  "src/dist/memory/": [],
  "src/dist/replica/": ["src/dist/vectors/"],
  "src/dist/protocol/": ["src/dist/memory/", "src/dist/replica/", "src/dist/vectors/"],
  "src/dist/nats/": ["src/dist/protocol/", "src/dist/vectors/", "src/packages/"],
  "src/dist/allreduce/": [
    ...["src/dist/protocol/", "src/dist/memory/", "src/dist/replica/", "src/dist/vectors/"],
  ],
  "src/dist/state/": ["src/dist/protocol/", "src/dist/replica/", "src/dist/vectors/"],
  "src/dist/steps/": ["src/dist/state/", "src/dist/protocol/", "src/dist/replica/", "src/dist/vectors/"],
  "src/dist/transfer/": [
    ...["src/dist/protocol/", "src/dist/memory/", "src/dist/replica/", "src/dist/vectors/"],
  ],
  "src/dist/worker/": [
    ...["src/dist/allreduce/", "src/dist/transfer/", "src/dist/protocol/", "src/dist/replica/"],
    ...["src/dist/memory/", "src/dist/vectors/"],
  ],
  "src/dist/coordinator/": [
    ...["src/dist/steps/", "src/dist/state/", "src/dist/allreduce/", "src/dist/transfer/"],
    ...["src/dist/protocol/", "src/dist/replica/", "src/dist/vectors/"],
  ],
  "src/dist/": ["src/dist/"],
  "src/run/folder/": [...BELOW_RUN],
  "src/run/replica/": ["src/run/folder/", ...BELOW_RUN],
  "src/run/participants/": ["src/run/replica/", "src/run/folder/", ...BELOW_RUN],
  "src/run/processes/": ["src/run/participants/", "src/run/replica/", "src/run/folder/", ...BELOW_RUN],
  "src/run/": ["src/run/", ...BELOW_RUN],
  "src/trained/": ["src/checkpoint/", "src/config/", "src/model/", "src/run/", "src/tensorflow/"],
  "src/watch/": ["src/run/folder/", "src/config/"],
  "src/http/": [],
  "src/dashboard/": ["src/http/", "src/run/folder/", "src/watch/"],
  "src/cli/": ["src/config/", "src/dist/", "src/model/", "src/trained/"],
};

/** Folders whose files are imported from outside through their `mod.ts` only. */
const DOORS = ["src/dist/"];

/** The path of a file from the repository's root, as far as the rules care. */
function placeOf(path: string): string {
  return path.replaceAll("\\", "/").match(/(?:^|\/)((?:src|tools|tests)\/.*|mod\.ts)$/)?.[1] ?? "";
}

/** Why `file` may not import `specifier`, or undefined where it may. */
export function forbiddenImport(file: string, specifier: string): string | undefined {
  const place = placeOf(file);
  if (!place.startsWith("src/")) return;
  for (const [name, owners] of Object.entries(PACKAGE_OWNERS)) {
    const bare = specifier.replace(/^npm:\/?/, "");
    const matches = name.endsWith("/")
      ? bare.startsWith(name)
      : bare === name || bare.startsWith(`${name}@`) || bare.startsWith(`${name}/`);
    const isOwner = owners.some((owner) => place.startsWith(owner));
    if (matches && !isOwner) return `only ${owners.join(" and ")} imports ${name}`;
  }
  if (!specifier.startsWith(".")) return;
  const target = placeOf(new URL(specifier, `file:///${place}`).pathname);
  if (!target.startsWith("src/")) return;
  const door = DOORS.find((folder) => target.startsWith(folder) && !place.startsWith(folder));
  if (door && target !== `${door}mod.ts`) return `only ${door}mod.ts may be imported of ${door}`;
  const from = folderOf(place), to = folderOf(target);
  const isAllowed = from === to || to === "src/" || MAY_IMPORT[from].some((folder) => to.startsWith(folder));
  if (!isAllowed) return `${from} may import ${MAY_IMPORT[from].join(", ") || "nothing"}, and not ${to}`;
}

/** The entry of {@linkcode MAY_IMPORT} that a file of `src/` belongs to. */
function folderOf(place: string): string {
  return Object.keys(MAY_IMPORT).filter((folder) => place.startsWith(folder))
    .reduce((longest, folder) => folder.length > longest.length ? folder : longest);
}

const plugin: Deno.lint.Plugin = {
  name: "flashmob",
  rules: {
    imports: {
      create(context) {
        const check = (
          node:
            | Deno.lint.ImportDeclaration
            | Deno.lint.ExportNamedDeclaration
            | Deno.lint.ExportAllDeclaration,
        ) => {
          const reason = node.source && forbiddenImport(context.filename, String(node.source.value));
          if (reason) context.report({ node, message: reason });
        };
        return { ImportDeclaration: check, ExportNamedDeclaration: check, ExportAllDeclaration: check };
      },
    },
    silent: {
      create(context) {
        const inSource = placeOf(context.filename).startsWith("src/");
        return {
          MemberExpression(node) {
            if (inSource && node.object.type === "Identifier" && node.object.name === "console") {
              context.report({ node, message: "nothing in src/ prints: take a callback" });
            }
          },
        };
      },
    },
  },
};

export default plugin;
