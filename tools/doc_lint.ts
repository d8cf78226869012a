/**
 * `deno doc --lint` for what mod.ts exports. It follows the export of tfjs into the package's own declarations; what it
 * finds there is not ours to mend, so only findings in this project count; and it does not see that `tf.Tensor` is public.
 *
 * @module
 */

const { stderr } = await new Deno.Command(Deno.execPath(), {
  args: ["doc", "--lint", "mod.ts"],
  env: { NO_COLOR: "1" },
  stdout: "null",
}).output();
const findings = new TextDecoder().decode(stderr).split(/^(?=error\[)/m).filter((text) =>
  text.startsWith("error[")
);
const isTheirs = (text: string) =>
  /--> .*\/(npm|node_modules)\//.test(text) || /references private type 'Tensor(\dD)?'/.test(text);
const ours = findings.filter((text) => !isTheirs(text));
if (findings.length === 0) throw new Error("deno doc --lint found nothing, not even in tfjs: did it run?");
console.log(`documentation: ${ours.length} problems`);
if (ours.length > 0) {
  console.error(ours.join(""));
  Deno.exit(1);
}
