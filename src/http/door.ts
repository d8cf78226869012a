/**
 * Which requests come in: those that only read, are small, were meant for this server and not for another name that leads to it
 * (DNS rebinding), come from no other site's page, and know the secret where there is one.
 *
 * @module
 */

import { HttpError } from "./problems.ts";
import type { Secret } from "./secret.ts";

/** Characters of an address. */
const MOST_OF_URL = 4096;

/** Names by which a server on loopback is meant. */
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** Whether a server that listens there is reached from this machine only. */
export function isLoopback(hostname: string): boolean {
  return LOOPBACK.includes(inBrackets(hostname)) || /^127(\.\d{1,3}){3}$/.test(hostname);
}

/** An IPv6 address as it stands in a URL. */
export function inBrackets(hostname: string): string {
  return hostname.includes(":") && !hostname.startsWith("[") ? `[${hostname}]` : hostname;
}

/**
 * Checks a request.
 *
 * @param hostname where the server listens
 * @throws {HttpError} where it does not come in
 */
export function checkRequest(request: Request, hostname: string, secret: Secret | undefined): void {
  const { method, headers, url } = request;
  if (method !== "GET" && method !== "HEAD") {
    throw new HttpError(405, "only GET and HEAD: nothing is changed here");
  }
  if (url.length > MOST_OF_URL) {
    throw new HttpError(414, `the address is longer than ${MOST_OF_URL} characters`);
  }
  if (Number(headers.get("content-length") ?? 0) !== 0 || headers.has("transfer-encoding")) {
    throw new HttpError(413, "a request has no body here");
  }
  if (!isMeant(headers.get("host") ?? "", hostname)) {
    throw new HttpError(
      403,
      "the name in the address is not one of this server's: use the address that it has printed",
    );
  }
  if (headers.get("sec-fetch-site") === "cross-site" && headers.get("sec-fetch-mode") !== "navigate") {
    throw new HttpError(403, "another site's page has asked");
  }
  if (secret && !secret.isKnownBy(request)) {
    throw new HttpError(401, "open the address that the server has printed, with its key");
  }
}

/**
 * Whether the Host header names this server. A page of another site whose name leads here carries that name, never an address in
 * numbers; the port is not looked at, since a tunnel may have another one.
 */
function isMeant(host: string, hostname: string): boolean {
  const name = host.toLowerCase().replace(/:\d{1,5}$/, "");
  if (LOOPBACK.includes(name) || name === inBrackets(hostname).toLowerCase()) return true;
  if (isLoopback(hostname)) return false;
  return /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-f:.]+\])$/.test(name) || name === Deno.hostname().toLowerCase();
}
