import assert from "node:assert/strict";
import { cacheFolder } from "../../src/packages/packages.ts";
import { flagsIn, xlaFlag } from "../../src/tensorflow/xla_flags.ts";

const MODULE = new URL("../../src/tensorflow/mod.ts", import.meta.url).href;
const VARIABLE = "FLASHMOB_TEST_FLAGS";

/** What {@linkcode flagsIn} makes of a variable's text. */
function flagsOf(text: string): string[] {
  Deno.env.set(VARIABLE, text);
  try {
    return flagsIn(VARIABLE);
  } finally {
    Deno.env.delete(VARIABLE);
  }
}

Deno.test("flags stand between white space, values in quotes hold anything, and a # ends them", () => {
  assert.deepEqual(flagsIn(VARIABLE), []);
  assert.deepEqual(flagsOf("  "), []);
  assert.deepEqual(flagsOf(" --a=1\t--b\n --c=x#y "), ["--a=1", "--b", "--c=x#y"]);
  assert.deepEqual(flagsOf(`--a="b c \\" d" --e='f " g'--h`), [`--a="b c \\" d"`, `--e='f " g'`, "--h"]);
  assert.deepEqual(flagsOf("--a # --b"), ["--a"]);
  assert.deepEqual(flagsOf(`--a="not ended # --b`), [`--a="not ended # --b`]);
  for (const value of ["/a b/c", `q"'\\`, "new\nline", "é # $HOME %s", ""]) {
    assert.deepEqual(flagsOf(`--x ${xlaFlag("a", value)} --y`), ["--x", xlaFlag("a", value), "--y"]);
  }
});

Deno.test("a text that does not begin with a dash names a file with flags", async () => {
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, "--a\n--b=2 # not these\n--c");
  assert.deepEqual(flagsOf(file), ["--a", "--b=2"]);
  await Deno.remove(file);
  assert.throws(() => flagsOf(file), {
    name: "RunError",
    message: new RegExp(`${VARIABLE} is .*names a file with flags, which can't be read`),
  });
});

/** A folder for a cache, with the packages of the usual one; what compiles in a process of its own leaves its code there. */
async function compiledIn(name: string, env: (folder: string) => Record<string, string> = () => ({})) {
  const folder = await Deno.makeTempDir();
  const cache = `${folder}/${name}`;
  await Deno.mkdir(cache);
  await Deno.symlink(`${cacheFolder()}/packages`, `${cache}/packages`);
  const program = `import { compile, compileOnce, initBackend, tf } from ${JSON.stringify(MODULE)};
    await initBackend({ device: "cpu" });
    const sum = compile((x) => tf.sum(tf.square(x)));
    await compileOnce(async () => console.log((await sum(tf.ones([3, 5]))).dataSync()[0], sum.path));`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", program],
    env: { ...env(folder), FLASHMOB_CACHE: cache },
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const everywhere = filesBelow(folder).filter((path) => path.endsWith(".pb"));
  await Deno.remove(folder, { recursive: true });
  return { said, inCache: everywhere.filter((path) => path.startsWith(`${cache}/xla/`)).length, everywhere };
}

function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory, isFile }) => {
    if (isDirectory) return filesBelow(`${folder}/${name}`);
    return isFile ? [`${folder}/${name}`] : [];
  });
}

for (const name of [`a "b" 'c' $HOME \${HOME} %s%20 \\ #d; é漢\ne`, `${"long".repeat(50)} name`]) {
  Deno.test(`compiled code lies in the cache, whatever it is called: ${JSON.stringify(name)}`, async () => {
    const { said, inCache, everywhere } = await compiledIn(name);
    assert.deepEqual({ said, inCache, all: everywhere.length }, {
      said: "15 compiled\n",
      inCache: 1,
      all: 1,
    });
  });
}

Deno.test("TensorFlow's flags may come in a file, with another cache and a comment, and ours goes before", async () => {
  const { said, inCache, everywhere } = await compiledIn("cache", (folder) => {
    const file = `${folder}/flags.txt`;
    Deno.writeTextFileSync(file, `--tf_xla_persistent_cache_directory=${folder}/other # mine`);
    return { TF_XLA_FLAGS: file };
  });
  assert.deepEqual({ said, inCache, all: everywhere.length }, { said: "15 compiled\n", inCache: 1, all: 1 });
});
