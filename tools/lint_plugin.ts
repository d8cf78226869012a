/**
 * Our rules for `deno lint`: who may import whom (docs/architecture.md), and that nothing in `src/` prints.
 *
 * @module
 */

/** Packages that only these places may import (`*`: any ending): all other files go through them. */
const PACKAGE_OWNERS: Record<string, string[]> = {
  "@tensorflow/": ["src/tensorflow/"],
  "nats": ["src/dist/nats/"],
  "@zip.js/": ["src/data/zip.ts"],
  // What comes from outside is checked at its doors: what a person wrote, what other processes say, and what files hold.
  "zod": ["src/config/", "src/dist/protocol/", "src/run/folder/", "src/checkpoint/files.ts"],
  "js-yaml": ["src/std/yaml.ts"],
  "minimist": ["src/std/parse_args.ts"],
};

/** Folders at the top: no folder below may import them. */
const USES = ["src/run/", "src/trained/", "src/cli/"];

/** Folders of `src/` that a folder must not know. */
const FORBIDDEN_FOLDERS: Record<string, string[]> = {
  "src/model/": [...USES, "src/dist/", "src/data/", "src/checkpoint/", "src/config/"],
  "src/data/": [...USES, "src/dist/", "src/model/", "src/tensorflow/", "src/checkpoint/"],
  "src/dist/": [...USES, "src/model/", "src/data/", "src/tensorflow/", "src/checkpoint/", "src/config/"],
  "src/tensorflow/": [...USES, "src/model/", "src/data/", "src/dist/", "src/checkpoint/", "src/config/"],
  "src/checkpoint/": [...USES, "src/model/", "src/data/"],
  "src/config/": [...USES, "src/data/", "src/tensorflow/", "src/checkpoint/"],
  "src/run/": ["src/cli/", "src/trained/"],
  "src/run/processes/": ["src/run/train.ts"],
  "src/run/participants/": ["src/run/train.ts", "src/run/processes/"],
  "src/run/replica/": ["src/run/train.ts", "src/run/processes/", "src/run/participants/"],
  "src/run/folder/": ["src/run/train.ts", "src/run/processes/", "src/run/participants/", "src/run/replica/"],
  "src/trained/": ["src/cli/", "src/dist/"],
};

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
    const isOwner = owners.some((owner) => place.startsWith(owner.replace("*", "")));
    if (matches && !isOwner) return `only ${owners.join(" and ")} imports ${name}`;
  }
  if (!specifier.startsWith(".")) return;
  const target = placeOf(new URL(specifier, `file:///${place}`).pathname);
  for (const [folder, forbidden] of Object.entries(FORBIDDEN_FOLDERS)) {
    const hit = place.startsWith(folder) && forbidden.find((other) => target.startsWith(other));
    if (hit) return `${folder} must not know ${hit}`;
  }
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
