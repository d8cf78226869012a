// @ts-check
/// <reference lib="dom" />
/**
 * The server, as the page sees it: answers as JSON, and a stream of what is new that connects again by itself.
 *
 * @module
 */

const FIRST_WAIT = 500, LONGEST_WAIT = 8000;
const EVENTS = ["steps", "evaluated", "event", "members", "usage", "item", "reset"];

/** What the server says is wrong, in words for people. */
export class Refusal extends Error {}

/**
 * What the server answers.
 *
 * @param {string} path "/api/runs"
 * @param {Record<string, string | number>} [query]
 * @returns {Promise<any>}
 * @throws {Refusal} where it says what is wrong
 */
export async function ask(path, query = {}) {
  const fields = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)]));
  const response = await fetch(`${path}?${fields}`, { signal: AbortSignal.timeout(30_000) });
  const answer = await response.json();
  if (!response.ok) throw new Refusal(answer.error ?? `${path} answered ${response.status}`);
  return answer;
}

/** What is new of some runs, as server-sent events. */
export class Stream {
  /** @type {EventSource | undefined} */
  #source;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {string[]} */
  #names = [];
  #wait = FIRST_WAIT;

  /**
   * @param {object} listeners
   * @param {() => void} listeners.onOpen connected, for the first time or again: what there was before has to be asked for
   * @param {() => void} listeners.onLost not connected; it is tried again
   * @param {(type: string, data: any) => void} listeners.onMessage
   */
  constructor({ onOpen, onLost, onMessage }) {
    this.onOpen = onOpen;
    this.onLost = onLost;
    this.onMessage = onMessage;
  }

  /**
   * Follows these runs instead of those before.
   *
   * @param {string[]} names
   */
  follow(names) {
    this.#names = names;
    this.#wait = FIRST_WAIT;
    this.#connect();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = undefined;
    if (this.#names.length === 0) return;
    const fields = new URLSearchParams(this.#names.map((name) => ["name", name]));
    const source = this.#source = new EventSource(`/api/stream?${fields}`);
    source.onopen = () => {
      this.#wait = FIRST_WAIT;
      this.onOpen();
    };
    // The browser does not try again after an answer that is not a stream, as a proxy gives one while the server is away.
    source.onerror = () => {
      source.close();
      this.onLost();
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#connect(), this.#wait);
      this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT);
    };
    for (const type of EVENTS) {
      source.addEventListener(type, (event) => this.onMessage(type, JSON.parse(event.data)));
    }
  }
}
