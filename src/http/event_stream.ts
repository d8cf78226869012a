/**
 * Server-sent events: messages to a page for as long as it listens.
 *
 * @module
 */

import { answer } from "./answers.ts";

/** Milliseconds between two comments, which keep a quiet stream open. */
const ALIVE = 15_000;
/** Milliseconds after which a page whose stream has ended asks again. */
const RETRY = 2_000;
/** Bytes that wait for a slow reader; then its stream ends, and it begins anew. */
const MOST_WAITING = 2 * 1024 * 1024;

/** Sends messages to one page. */
export interface EventSender {
  /** Sends a message. */
  send(event: string, data: unknown): void;
  /** Aborted when the page has gone, reads too slowly, or the server ends. */
  readonly signal: AbortSignal;
}

/**
 * An answer that lasts.
 *
 * @param start called with the sender; what it throws ends the stream
 * @param ending ends the stream, and with it the answer
 * @param onEnd called once at the end, whoever ends it
 */
export function eventStream(
  start: (sender: EventSender) => Promise<void>,
  ending: AbortSignal,
  onEnd: () => void,
): Response {
  const closed = new AbortController();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const write = (text: string) => {
        if (closed.signal.aborted) return;
        controller.enqueue(encoder.encode(text));
        if (controller.desiredSize! < 0) closed.abort();
      };
      const alive = setInterval(() => write(": alive\n\n"), ALIVE);
      const end = () => closed.abort();
      ending.addEventListener("abort", end);
      closed.signal.addEventListener("abort", () => {
        clearInterval(alive);
        ending.removeEventListener("abort", end);
        try {
          controller.close();
        } catch {
          // the page has gone
        }
        onEnd();
      });
      write(`retry: ${RETRY}\n\n`);
      const send = (event: string, data: unknown) =>
        write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
      if (ending.aborted) return end();
      start({ send, signal: closed.signal }).catch(() => {}).finally(end);
    },
    cancel() {
      closed.abort();
    },
  }, new ByteLengthQueuingStrategy({ highWaterMark: MOST_WAITING }));
  return answer(body, "events");
}
