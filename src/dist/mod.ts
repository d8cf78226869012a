/**
 * The interface of the distributed runtime: what the rest of `src` uses of it. Nothing outside imports its other files.
 *
 * @module
 */

export { coordinate } from "./coordinator.ts";
export { type ReducerEvent, runReducer } from "./reducer.ts";
export { runSingle } from "./single.ts";
export { runWorker } from "./worker.ts";
export type { WorkerEvent } from "./worker/options.ts";
export type { ResidualPlace, ResidualStore, SavedResiduals } from "./allreduce/residuals.ts";
export { parseNatsAddress } from "./nats/address.ts";
export { watchConnections } from "./nats/connection_events.ts";
export { takeNatsLease } from "./nats/lease.ts";
export { keepNatsServer, NATS_SERVER_PACKAGE, type NatsServer } from "./nats/server.ts";
export { connectNats } from "./nats/transport.ts";
export type { Messages } from "./protocol/messages.ts";
export type { Transport } from "./protocol/transport.ts";
export { DilocoReplica } from "./replica/diloco_replica.ts";
export type {
  CommittedStep,
  CoordinationPlan,
  DistEvent,
  MemberUsage,
  RunOutcome,
  RunRecord,
} from "./replica/plan.ts";
export type { Replica, ReplicaIdentity, ReplicaState, StepOutcome } from "./replica/replica.ts";
export { type DilocoPlan, hasOwnMoments } from "./replica/rounds.ts";
export { hashesOf, stateHashOf } from "./replica/state_hash.ts";
export { takeStart } from "./transfer/starting_state.ts";
export { type TextRequest, TextRequests } from "./transfer/text_transfer.ts";
export { type GradientSum, type GradientVector, HostVector } from "./vectors/gradient.ts";
export type { LossSum } from "./vectors/sums.ts";
export { fetchRun, reportEnded } from "./worker/join.ts";
export type { CodecName } from "./vectors/codec.ts";
