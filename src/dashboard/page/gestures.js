// @ts-check
/// <reference lib="dom" />
/**
 * Moving along the x axis by wheel, keys and two fingers. Dragging with a mouse is uPlot's own.
 *
 * @module
 */

/** Where the left and the right one of two fingers are, as shares of the width. @typedef {[left: number, right: number]} Fingers */

/**
 * @typedef {object} Listeners
 * @property {(range: { min: number, max: number } | null) => void} onZoom null for all
 * @property {(share: number) => void} onPan by a share of what is visible
 * @property {(factor: number) => void} onScale
 * @property {(before: Fingers, after: Fingers) => void} onPinch
 * @property {() => void} onRest the fingers are gone
 * @property {(x: number | null) => void} onCursor
 */

/**
 * Arrows pan, + and - zoom, Escape shows all.
 *
 * @param {HTMLElement} element
 * @param {Listeners} listeners
 */
export function listenToKeys(element, { onPan, onScale, onZoom }) {
  /** @type {Record<string, () => void>} */
  const actions = {
    ArrowLeft: () => onPan(-0.1),
    ArrowRight: () => onPan(0.1),
    "+": () => onScale(0.5),
    "-": () => onScale(2),
    Escape: () => onZoom(null),
  };
  element.addEventListener("keydown", (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/**
 * A wheel that turns sideways, or with the shift key, pans; any other one scrolls the page.
 *
 * @param {HTMLElement} element
 * @param {Listeners} listeners
 */
export function listenToWheel(element, { onPan }) {
  element.addEventListener("wheel", (event) => {
    const along = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (!event.shiftKey && Math.abs(event.deltaX) <= Math.abs(event.deltaY)) return;
    event.preventDefault();
    onPan(along / element.clientWidth);
  }, { passive: false });
}

/** Two fingers are never nearer to each other, as a share of the width: what is shown would become endless. */
const NEAREST = 0.05;

/**
 * What lies under two fingers moves with them: they zoom apart and together, and pan side by side. One finger scrolls the page.
 *
 * @param {HTMLElement} element
 * @param {Listeners} listeners
 */
export function listenToFingers(element, { onPinch, onRest }) {
  /** @type {Fingers | null} */
  let before = null;
  element.addEventListener("touchstart", (event) => before = fingersOn(element, event));
  element.addEventListener("touchmove", (event) => {
    const after = fingersOn(element, event);
    if (!before || !after) return;
    event.preventDefault();
    onPinch(before, after);
    before = after;
  }, { passive: false });
  const end = (/** @type {TouchEvent} */ event) => {
    if (before) onRest();
    before = fingersOn(element, event);
  };
  element.addEventListener("touchend", end);
  element.addEventListener("touchcancel", end);
}

/**
 * @param {HTMLElement} element
 * @param {TouchEvent} event
 * @returns {Fingers | null} null where there are not two
 */
function fingersOn(element, { targetTouches }) {
  if (targetTouches.length !== 2) return null;
  const { left, width } = element.getBoundingClientRect();
  const [a, b] = Array.from(targetTouches, ({ clientX }) => (clientX - left) / width);
  const middle = (a + b) / 2, half = Math.max(NEAREST, Math.abs(a - b)) / 2;
  return [middle - half, middle + half];
}
