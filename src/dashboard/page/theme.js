// @ts-check
/// <reference lib="dom" />
/**
 * Light and dark, and the colours of runs in each. Colours stand in custom properties of page.css; those that charts draw
 * with are read from there.
 *
 * @module
 */

/** @typedef {"light" | "dark"} Theme */

/**
 * Colours of overlaid runs, the first one for a run by itself. Any two differ for readers with a colour vision deficiency, too:
 * tests/dashboard/page/colours_test.ts.
 *
 * @type {Record<Theme, string[]>}
 */
export const RUN_COLOURS = {
  light: ["#2457d6", "#d54c0b", "#0b9a7a", "#9c3d93", "#c49000", "#549afe", "#23262b", "#7b3f00"],
  dark: ["#6ea0ff", "#ff813b", "#30ebb8", "#ab5baa", "#e8de5f", "#cbfff6", "#999693", "#b7452e"],
};

const STORED = "flashmob.theme";
const prefersDark = () => matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme} */
export function theme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

/**
 * The colour with which a run is drawn.
 *
 * @param {number} index
 */
export function runColour(index) {
  const colours = RUN_COLOURS[theme()];
  return colours[index % colours.length];
}

/**
 * A colour of page.css: "muted" for --muted.
 *
 * @param {string} name
 */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * Takes the theme that was chosen last, or else the system's, and lets a button switch it.
 *
 * @param {HTMLElement} button
 * @param {() => void} onChange
 */
export function startTheme(button, onChange) {
  const apply = () => {
    const chosen = stored();
    const isDark = chosen ? chosen === "dark" : prefersDark().matches;
    document.documentElement.dataset.theme = isDark ? "dark" : "light";
    button.setAttribute("aria-pressed", String(isDark));
    button.title = isDark ? "Light colours" : "Dark colours";
  };
  button.addEventListener("click", () => {
    try {
      localStorage.setItem(STORED, theme() === "dark" ? "light" : "dark");
    } catch {
      document.documentElement.dataset.theme = theme() === "dark" ? "light" : "dark";
      return onChange(); // a browser that stores nothing: until the page is closed
    }
    apply();
    onChange();
  });
  prefersDark().addEventListener("change", () => {
    apply();
    onChange();
  });
  apply();
}

function stored() {
  try {
    return localStorage.getItem(STORED);
  } catch {
    return null;
  }
}
