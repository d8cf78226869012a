import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

/** All that a user of the package can import. Who changes it tells so in CHANGELOG.md. */
const NAMES = `
  BackendInfo backendInfo BackendOptions CodecName CommittedStep CommonOptions compile
  CompiledFunction compileOnce CompileOptions Config ConfigError ConfigInput CoordinatorOptions
  Definition EvaluationMetrics EventSchema ExecutionPath filledVector FLASH FLASHOptions
  FLASHTransformer FLASHTransformerOptions ForwardOptions Frequencies FrozenSpec gatherRows GAU
  GAUOptions generate GenerateOptions generateSamples GroupedOptions Ids initBackend InitOptions
  LayerParameters Layout LayoutEntry LentVector Linear LossAndGradients Mask MembersLine MemberUsage
  Module NamedTensors Norm NormType OffsetScale ParameterSpec readSafetensors RecordedEvent
  recordedEventSchema RecordingError ReducerOptions Results RunCard RunConfig RunError RunEvent
  RunHappening RunListener RunOutcome Sampling startCoordinator startReducer startWorker
  statelessUniform StepMetrics Summary TensorFlowError tf timesSigmoid train TrainOptions
  TransformerParameters WorkerOptions WorkerOutcome WorkerStep
`.trim().split(/\s+/);

Deno.test("mod.ts exports these names and no others", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", fileURLToPath(new URL("../mod.ts", import.meta.url))],
    stderr: "null",
  }).output();
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: { name: string }[] }>;
  };
  const found = Object.values(nodes).flatMap(({ symbols }) => symbols.map(({ name }) => name));
  assert.deepEqual(found.toSorted(), NAMES.toSorted());
});
