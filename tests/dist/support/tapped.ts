/**
 * A connection with an eye on what is sent.
 *
 * @module
 */

import type { Transport } from "../../../src/dist/protocol/transport.ts";

/** The transport; `look` sees each message before it is sent. */
export function tapped(transport: Transport, look: (data: Uint8Array) => void): Transport {
  const { maxPayload, closed } = transport;
  return {
    maxPayload,
    closed,
    get isConnected() {
      return transport.isConnected;
    },
    get reconnectedAt() {
      return transport.reconnectedAt;
    },
    publish(subject, data) {
      look(data);
      transport.publish(subject, data);
    },
    compose(subject, message) {
      transport.compose(subject, {
        length: message.length,
        write(into) {
          message.write(into);
          look(into);
        },
      });
    },
    request(subject, data, timeout) {
      look(data);
      return transport.request(subject, data, timeout);
    },
    subscribe: (subject, receive) => transport.subscribe(subject, receive),
    flush: () => transport.flush(),
    close: () => transport.close(),
  };
}
