/**
 * Answers: texts and JSON, each with headers that keep a page to itself. It may load only what comes from here, runs no script
 * that stands in it, is shown in no other page, and tells nobody where it was.
 *
 * @module
 */

const HEADERS: Record<string, string> = {
  "content-security-policy":
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'; object-src 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cache-control": "no-store",
};

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
  json: "application/json",
  events: "text/event-stream",
};

/**
 * An answer.
 *
 * @param kind "html", "js", "css", "svg", "json" or "events"
 */
export function answer(body: BodyInit | null, kind: string, status = 200): Response {
  return new Response(body, { status, headers: { ...HEADERS, "content-type": TYPES[kind] } });
}

/** A value as JSON, in which a number that is not finite is null. */
export function jsonAnswer(value: unknown, status = 200): Response {
  return answer(JSON.stringify(value), "json", status);
}
