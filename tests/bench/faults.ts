/**
 * What the death of a worker costs: a run of four real workers of which one is killed now and then, in computing, uploading and
 * between steps, and a run of as many steps that is left alone. The model is tiny: its result does not matter, only that it is the same.
 *
 *     deno task bench:faults [--minutes 10] [--every 60] [--json]
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { type Command as Arguments, HELP_FLAG } from "../../src/cli/arguments.ts";
import { connectNats } from "../../src/dist/nats/transport.ts";
import type { Summary } from "../../src/run/folder/summary.ts";
import { type Command, startLong } from "../run/support/commands.ts";
import { descendants, metricsOf, until, Workplace } from "../run/support/runs.ts";
import { scriptArguments } from "../support/script.ts";
import { type KillStage, OrderWatch, STAGES } from "./kills.ts";

const POSITIVE = { wanted: "a number above 0", holds: (value: number) => value > 0 };

/** What it takes. */
export const FAULTS: Arguments = {
  usage: [["deno task bench:faults [options]", "throughput of a run whose workers are killed"]],
  positional: [],
  short: {},
  flags: [
    { name: "minutes", value: "T", text: "How long workers are killed for. Default 10.", number: POSITIVE },
    { name: "every", value: "T", text: "Seconds between two kills. Default 60.", number: POSITIVE },
    { name: "json", text: "Print the result as one line of JSON." },
    HELP_FLAG,
  ],
};

const WORKERS = 4;
const MODEL = [
  ...["--model.dim=16", "--model.depth=2", "--model.groupSize=8", "--model.queryKeyDim=8"],
  ...["--data.seqLen=24", "--train.batch=16", "--train.microBatch=1", "--optimizer.schedule.kind=constant"],
  ...["--eval.every=0", "--checkpoint.every=0"],
];
/** Milliseconds within which a whole run has to end. */
const LONGEST = 4 * 3600 * 1000;
const RUN = "faults";

/** One kill. */
interface Kill {
  stage: KillStage;
  /** From the kill to the order that gives its work to others. */
  seconds: number;
}

/** How it went. */
interface Result {
  kills: Kill[];
  medianSeconds: number;
  longestSeconds: number;
  /** Steps that are compared, and steps per second. */
  steps: number;
  disturbed: number;
  undisturbed: number;
  /** Throughput with kills, as a part of that without. */
  throughput: number;
  /** What one kill, with the restart of the worker, costs the run. */
  secondsPerKill: number;
  /** Whether each step was committed once, and the parameters are those of the undisturbed run. */
  isSame: boolean;
}

/** Sends a signal to a command that may have ended. */
function signalTo(command: Command, signal: Deno.Signal): void {
  try {
    command.kill(signal);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has
  }
}

/** Coordinator and workers of a run, each by its command. */
class FourWorkers implements AsyncDisposable {
  private constructor(
    readonly place: Workplace,
    readonly name: string,
    readonly hub: Command,
    readonly guest: Command,
    readonly watch: OrderWatch,
  ) {}

  static async start(place: Workplace, name: string, steps: number): Promise<FourWorkers> {
    const hub = startLong(
      ...[LONGEST, "coordinator", ...MODEL, `--data=${place.text}`, `--steps=${steps}`] as const,
      ...[`--run=${RUN}`, `--out=${place.run(name)}`],
    );
    hub.ended.catch(() => {}); // awaited in the end
    await until("it says how to join", () => hub.stdout().includes("--join"), 60);
    const [, url] = /--join (\S+) --run/.exec(hub.stdout())!;
    const watch = new OrderWatch(await connectNats(url, "watch"), RUN);
    const guest = startLong(
      ...[LONGEST, "train", "--join", url, `--run=${RUN}`, `--workers=${WORKERS}`] as const,
      ...["--machine.name=w", "--backend=cpu", `--data=${place.text}`],
    );
    guest.ended.catch(() => {});
    await until("all workers compute", () => watch.members === WORKERS && watch.step > 0, 120);
    return new FourWorkers(place, name, hub, guest, watch);
  }

  get summary(): Summary {
    return JSON.parse(Deno.readTextFileSync(`${this.place.run(this.name)}/summary.json`));
  }

  /** The process of a worker; undefined while there is none. */
  pidOf(member: string): number | undefined {
    return descendants(this.guest.pid).find(({ command }) => command.endsWith(`child.ts ${member}`))?.pid;
  }

  /** Kills one worker after the other. */
  async suffer(every: number, minutes: number): Promise<Kill[]> {
    const kills: Kill[] = [];
    for (const end = performance.now() + 60_000 * minutes; performance.now() < end;) {
      await until("all workers compute", () => this.watch.members === WORKERS, 120);
      const nextAt = performance.now() + 1000 * every;
      const member = `w-${kills.length % WORKERS}`, stage = STAGES[kills.length % STAGES.length];
      const pid = this.pidOf(member);
      if (pid === undefined) throw new Error(`${member} is not there:\n${this.guest.stderr()}`);
      const seconds = await this.watch.kill(member, stage, () => Deno.kill(pid, "SIGKILL"));
      kills.push({ stage, seconds });
      await pause(Math.max(0, nextAt - performance.now()));
    }
    return kills;
  }

  /** Ends what still runs; the children of a command end with it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.watch.transport.close();
    for (const command of [this.hub, this.guest]) signalTo(command, "SIGKILL");
  }

  /** Waits until both commands have ended, and the run with its last step. */
  async end(): Promise<void> {
    const { code, stderr } = await this.hub.ended;
    if (code !== 0 && code !== 130) throw new Error(`it ended with ${code}:\n${stderr}`);
    signalTo(this.guest, "SIGINT"); // one of its workers may be about to be started again
    await this.guest.ended;
  }
}

async function measure(minutes: number, every: number): Promise<Result> {
  await using place = await Workplace.open();
  await using run = await FourWorkers.start(place, "disturbed", 1_000_000_000);
  const begun = run.watch.step;
  const kills = await run.suffer(every, minutes);
  const suffered = rateOf(run, begun, run.watch.step);
  run.hub.kill("SIGINT");
  await run.end();
  const { steps, paramsHash } = run.summary;
  await using calm = await FourWorkers.start(place, "undisturbed", steps);
  const calmBegun = calm.watch.step;
  await calm.end();
  const undisturbed = rateOf(calm, calmBegun, calm.watch.step).rate;
  const all = kills.map(({ seconds }) => seconds).sort((a, b) => a - b);
  const committed = metricsOf(place.run("disturbed")).steps.map(({ step }) => step);
  return {
    kills,
    medianSeconds: all[all.length >> 1],
    longestSeconds: all.at(-1)!,
    steps: suffered.steps,
    disturbed: suffered.rate,
    undisturbed,
    throughput: suffered.rate / undisturbed,
    secondsPerKill: (suffered.seconds - suffered.steps / undisturbed) / kills.length,
    isSame: calm.summary.paramsHash === paramsHash && committed.every((step, i) => step === i + 1),
  };
}

/** Steps of a run within two of them, their seconds, and steps per second. */
function rateOf({ watch: { committedAt } }: FourWorkers, from: number, to: number) {
  const steps = to - from, seconds = (committedAt.get(to)! - committedAt.get(from)!) / 1000;
  return { steps, seconds, rate: steps / seconds };
}

function textOf(result: Result): string {
  const { kills, medianSeconds, longestSeconds, steps, disturbed, undisturbed, throughput } = result;
  return [
    ...kills.map(({ stage, seconds }) =>
      `killed ${stage.padEnd(13)}  its work given away after ${seconds.toFixed(3)} s`
    ),
    `${kills.length} kills: median ${medianSeconds.toFixed(3)} s, longest ${longestSeconds.toFixed(3)} s`,
    `${steps} steps: ${disturbed.toFixed(2)} steps/s, undisturbed ${undisturbed.toFixed(2)}: ${
      (100 * throughput).toFixed(1)
    } %`,
    `a kill costs ${result.secondsPerKill.toFixed(2)} s`,
    result.isSame ? "each step once, the same parameters" : "THE RESULT IS ANOTHER ONE",
  ].join("\n");
}

if (import.meta.main) {
  const { switches, numbers: { minutes = 10, every = 60 } } = scriptArguments(FAULTS);
  const result = await measure(minutes, every);
  console.log(switches.json ? JSON.stringify(result) : textOf(result));
  Deno.exit(result.isSame ? 0 : 1);
}
