/**
 * A small HTTP server for what a person looks at: on loopback unless told otherwise, and then with a secret. What may come in is
 * checked by `door.ts`; how much at once, here. An error of a handler answers one request and ends nothing.
 *
 * @module
 */

import { setTimeout as pause } from "node:timers/promises";
import { errorMessage, RunError } from "../errors.ts";
import { answer, jsonAnswer } from "./answers.ts";
import { checkRequest, inBrackets, isLoopback } from "./door.ts";
import { type EventSender, eventStream } from "./event_stream.ts";
import { HttpError } from "./problems.ts";
import { Secret } from "./secret.ts";

/** Requests that are answered at once. */
const MOST_REQUESTS = 64;
/** Pages that listen at once. */
const MOST_STREAMS = 32;
/** Milliseconds for which the end waits for answers that are being sent. */
const PATIENCE = 1_000;

/** What a server does with a request that came in. */
export type Handler = (url: URL, visit: Visit) => Response | Promise<Response>;

/** What a handler may do besides answering at once. */
export interface Visit {
  /** Answers with messages, for as long as the page listens. */
  stream(start: (sender: EventSender) => Promise<void>): Response;
}

/** Where a server listens. */
export interface ServerOptions {
  /** A name or an address of this machine. */
  hostname: string;
  /** 0 for a free one. */
  port: number;
}

/** A server that answers until it is disposed of. */
export class HttpServer implements AsyncDisposable {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #secret: Secret | undefined;
  readonly #ending = new AbortController();
  #requests = 0;
  #streams = 0;

  /**
   * Listens.
   *
   * @throws {RunError} where that is not possible
   */
  constructor(private readonly options: ServerOptions, private readonly handler: Handler) {
    const { hostname, port } = options;
    try {
      this.#server = Deno.serve({ hostname, port, onListen: () => {} }, (request) => this.#answer(request));
    } catch (error) {
      const reason = error instanceof Deno.errors.AddrInUse
        ? "another process listens there"
        : errorMessage(error);
      throw new RunError(`the page can't be served at ${inBrackets(hostname)}:${port}: ${reason}`);
    }
    this.#server.finished.catch(() => {}); // a server that fails ends nothing but itself
    if (!isLoopback(hostname)) this.#secret = new Secret(this.port);
  }

  /** The port that it listens at. */
  get port(): number {
    return this.#server.addr.port;
  }

  /** The address for people, with the secret where there is one. One that listens everywhere is reached by this machine's name. */
  get url(): string {
    const { hostname } = this.options;
    const name = ["0.0.0.0", "::"].includes(hostname) ? Deno.hostname() : inBrackets(hostname);
    const url = `http://${name}:${this.port}/`;
    return this.#secret?.addTo(url) ?? url;
  }

  /** Ends: listening pages are let go, answers that are being sent get a moment. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    const late = new AbortController();
    const deadline = pause(PATIENCE, undefined, { signal: late.signal }).catch(() => {});
    await Promise.race([this.#server.shutdown(), deadline]);
    late.abort();
  }

  async #answer(request: Request): Promise<Response> {
    this.#requests++;
    try {
      const response = await this.#enter(request);
      if (request.method !== "HEAD") return response;
      await response.body?.cancel();
      return new Response(null, response);
    } catch (error) {
      // What is not for the one who asks may hold paths of this machine.
      return error instanceof HttpError
        ? jsonAnswer({ error: error.message }, error.status)
        : jsonAnswer({ error: "the server could not answer this" }, 500);
    } finally {
      this.#requests--;
    }
  }

  async #enter(request: Request): Promise<Response> {
    if (this.#requests > MOST_REQUESTS) throw new HttpError(503, "too many requests at once");
    checkRequest(request, this.options.hostname, this.#secret);
    const url = new URL(request.url);
    const isFirst = this.#secret?.isInAddress(request);
    if (isFirst && url.pathname === "/") return this.#letIn();
    return await this.handler(url, { stream: (start) => this.#stream(start) });
  }

  /** Leaves the secret with the browser, and goes on to the address without it. A redirect would lose the cookie after a link elsewhere. */
  #letIn(): Response {
    const response = answer('<!doctype html><meta http-equiv="refresh" content="0;url=/">', "html");
    response.headers.set("set-cookie", this.#secret!.setCookie);
    return response;
  }

  #stream(start: (sender: EventSender) => Promise<void>): Response {
    if (this.#streams >= MOST_STREAMS) {
      throw new HttpError(503, `more than ${MOST_STREAMS} pages listen: close one`);
    }
    this.#streams++;
    return eventStream(start, this.#ending.signal, () => this.#streams--);
  }
}
