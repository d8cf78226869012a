/**
 * Parses the address of a NATS server with its credentials, `nats://TOKEN@HOST:PORT`. The error for an invalid one says how to
 * write it and never quotes the address: a token or a password may be anywhere in it.
 *
 * @module
 */

import { ConfigError } from "../../errors.ts";

/** The parts of an address. */
export interface NatsAddress {
  /** Name or address of the machine; an IPv6 address in brackets. */
  hostname: string;
  /** 4222 by default. */
  port: number;
  /** Whether the connection is to be encrypted. */
  tls: boolean;
  /** Empty where there is none. */
  token: string;
  /** Empty where there is none. */
  user: string;
  /** Password of the user. */
  pass: string;
}

const DEFAULT_PORT = 4222;
const FORMS =
  "expected nats://HOST:PORT, nats://TOKEN@HOST:PORT or nats://USER:PASSWORD@HOST:PORT, with tls:// where the " +
  "server wants TLS";
/** Characters that end the authority part of a URL, where credentials are. */
const RESERVED = /[/?#\\]/;
const HOST_AND_PORT = /^(\[[^\[\]]*\]|[^\[\]:/]+)(?::(\d+))?\/?$/;

/**
 * The parts of an address.
 *
 * @param text `nats://` or `tls://`, then a token or a user and its password before an `@`, then host and port
 * @throws {ConfigError} where it can't be parsed, with how to write it
 *
 * @example
 * ```ts
 * import { parseNatsAddress } from "./address.ts";
 * const { hostname, port, token } = parseNatsAddress("nats://s%2Fcret@10.0.0.1:4223");
 * console.assert(hostname === "10.0.0.1" && port === 4223 && token === "s/cret");
 * ```
 */
export function parseNatsAddress(text: string): NatsAddress {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? [];
  if (scheme === undefined) throw unreadable("there is no nats:// before it");
  if (!/^(nats|tls)$/i.test(scheme)) throw unreadable(`it begins with ${scheme}://`);
  const at = rest.lastIndexOf("@");
  return {
    tls: /^tls$/i.test(scheme),
    ...credentialsOf(at < 0 ? undefined : rest.slice(0, at)),
    ...placeOf(rest.slice(at + 1)),
  };
}

function credentialsOf(text: string | undefined): Pick<NatsAddress, "token" | "user" | "pass"> {
  if (text === undefined) return { token: "", user: "", pass: "" };
  const special = /\s/.exec(text) ?? RESERVED.exec(text);
  if (special) throw misspelt(special[0]);
  const colon = text.indexOf(":");
  if (text === "") throw unreadable("there is no token before the @");
  if (colon === 0) throw unreadable("there is no user before the colon and the password");
  if (colon === text.length - 1) throw unreadable("there is no password after the user and the colon");
  if (colon < 0) return { token: decoded(text), user: "", pass: "" };
  return { token: "", user: decoded(text.slice(0, colon)), pass: decoded(text.slice(colon + 1)) };
}

function placeOf(text: string): Pick<NatsAddress, "hostname" | "port"> {
  const special = /[\s?#\\]|\/(?!$)/.exec(text);
  if (special) {
    throw unreadable(`there is ${JSON.stringify(special[0])} after the host; ${writtenAs(special[0])}`);
  }
  if (text.includes(",")) {
    throw unreadable("there is a comma; name one server, which tells of the others of its cluster");
  }
  const [, hostname, digits] = HOST_AND_PORT.exec(text) ?? [];
  if (hostname === undefined) {
    throw unreadable(
      /:.*:/.test(text)
        ? "there are several colons after the @; an IPv6 address has brackets, as in nats://[::1]:4222"
        : "host or port can't be read",
    );
  }
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  if (port < 1 || port > 65535) throw unreadable("the port is not between 1 and 65535");
  if (!URL.canParse(`http://${hostname}`)) throw unreadable("the host is no name and no address");
  return { hostname, port };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch { // a percent sign without two hexadecimal digits, or bytes that are no text
    throw misspelt("%");
  }
}

function misspelt(character: string): ConfigError {
  return unreadable(
    `there is ${JSON.stringify(character)} in its token, user or password; ${writtenAs(character)}`,
  );
}

function writtenAs(character: string): string {
  return `in a token or password write ${encodeURIComponent(character)} for ${JSON.stringify(character)}`;
}

function unreadable(reason: string): ConfigError {
  return new ConfigError([`the address of the NATS server can't be read: ${reason}; ${FORMS}`]);
}
