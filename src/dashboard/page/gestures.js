// @ts-check
/// <reference lib="dom" />
/**
 * Moving along the x axis by wheel and keys. Dragging is uPlot's own.
 *
 * @module
 */

/**
 * @typedef {object} Listeners
 * @property {(range: { min: number, max: number } | null) => void} onZoom null for all
 * @property {(share: number) => void} onPan by a share of what is visible
 * @property {(factor: number) => void} onScale
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
