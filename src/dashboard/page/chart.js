// @ts-check
/// <reference lib="dom" />
/**
 * One chart: lines over a common x axis by uPlot, what lies under them, and the numbers at the cursor in its heading.
 *
 * @module
 */

import { el, fill, setText } from "./dom.js";
import { listenToFingers, listenToKeys, listenToWheel } from "./gestures.js";
import { paintClouds, paintMarks } from "./paint.js";
import { rangeOf, stepsOf, X_STEPS } from "./scales.js";
import { colour } from "./theme.js";

/** @import { Listeners } from "./gestures.js" */
/** @import { Cloud, Ring, Ticks } from "./paint.js" */
/** @import { Maybe } from "./types.ts" */

/**
 * @typedef {object} Line
 * @property {string} name for the heading
 * @property {string} colour
 * @property {(Maybe | undefined)[]} ys
 * @property {number} [width]
 * @property {number[]} [dash]
 * @property {boolean} [hasPoints]
 * @property {string} [fill]
 * @property {(Maybe | undefined)[]} [told] what the heading says, where that is not `ys`
 */

/**
 * @typedef {object} Drawing
 * @property {number[]} xs
 * @property {Line[]} lines
 * @property {Cloud[]} [clouds]
 * @property {Ticks} [ticks]
 * @property {Ring[]} [rings]
 * @property {string} [empty] instead of a chart
 */

/**
 * The part of the x axis that is shown, and how.
 *
 * @typedef {{ min: number, max: number, axis: import("./types.ts").Axis, isLog: boolean, xText: (x: number) => string }} View
 */

/**
 * @typedef {object} Spec
 * @property {string} id
 * @property {string} title
 * @property {string} unit
 * @property {string} [words] what the title means
 * @property {(value: Maybe | undefined) => string} format
 * @property {(value: Maybe | undefined) => string} [axisFormat]
 * @property {boolean} [isLoggable]
 * @property {boolean} [isFromZero]
 * @property {boolean} [hasNames] whether the heading names the lines
 * @property {[number, number]} [fixed] range of the y axis
 */

const FONT = "11px system-ui, sans-serif";
const SHORTEST_DRAG = 5;
/** Rows to look back for a value at the cursor, where another run has a row and this one has none. */
const LOOK_BACK = 50;

/** A chart with its heading. */
export class Chart {
  /** @type {any} */
  #plot;
  /** What a plot can't change once it is made. */
  #shape = "";
  /** @type {Drawing} */
  #drawing = { xs: [], lines: [] };
  /** @type {View} */
  #view = { min: 0, max: 1, axis: "step", isLog: false, xText: String };

  /**
   * @param {Spec} spec
   * @param {Listeners} listeners
   */
  constructor(spec, listeners) {
    this.spec = spec;
    this.listeners = listeners;
    this.readout = el("span", { class: "readout" });
    this.canvas = el("div", { class: "canvas" });
    this.note = el("p", { class: "empty", hidden: true });
    const heading = el(
      "figcaption",
      {},
      el("b", { title: spec.words }, spec.title),
      spec.unit && el("small", {}, spec.unit),
      this.readout,
    );
    this.element = el(
      "figure",
      { class: "chart", id: `chart-${spec.id}`, tabindex: 0 },
      heading,
      this.canvas,
      this.note,
    );
    listenToKeys(this.element, listeners);
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(this.canvas);
  }

  /**
   * @param {Drawing} drawing
   * @param {View} view
   */
  draw(drawing, view) {
    [this.#drawing, this.#view] = [drawing, view];
    const isEmpty = drawing.empty !== undefined || drawing.xs.length === 0;
    this.note.hidden = !isEmpty;
    this.canvas.hidden = isEmpty;
    setText(this.note, drawing.empty ?? "Nothing yet.");
    if (isEmpty) return this.#forget();
    const { axis } = view, isLog = this.#isLog();
    const shape = JSON.stringify([isLog, axis, drawing.lines.map(({ ys: _, told: __, ...line }) => line)]);
    const data = [drawing.xs, ...drawing.lines.map(({ ys }) => ys)];
    if (shape === this.#shape) this.#plot.setData(data);
    else {
      this.#forget();
      this.#shape = shape;
      this.#plot = new (/** @type {any} */ (globalThis).uPlot)(this.#options(), data, this.canvas);
      this.#writeNames();
    }
    this.#writeValues();
  }

  /**
   * Shows another part of what is drawn.
   *
   * @param {View} view
   */
  show(view) {
    this.#view = view;
    this.#plot?.setScale("x", { min: view.min, max: view.max });
  }

  #forget() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#shape = "";
    fill(this.readout);
  }

  #isLog() {
    return this.spec.isLoggable === true && this.#view.isLog;
  }

  #size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  #options() {
    const { spec } = this, isLog = this.#isLog(), { axis } = this.#view;
    const muted = () => colour("muted"), line = () => colour("grid");
    const axisStyle = { stroke: muted, font: FONT, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    const format = spec.axisFormat ?? spec.format;
    return {
      ...this.#size(),
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false },
        sync: { key: "x", scales: ["x", null], setSeries: false, filters: { pub: isMove, sub: isMove } },
        points: {
          size: 6,
          width: 0,
          fill: (/** @type {any} */ u, /** @type {number} */ i) => u.series[i].stroke(),
        },
        dataIdx: (/** @type {any} */ u, /** @type {number} */ series, /** @type {number} */ row) =>
          toldAt(u.data[series], row),
        bind: { dblclick: () => () => this.listeners.onZoom(null) },
      },
      scales: {
        x: { time: false, range: () => [this.#view.min, this.#view.max] },
        y: { distr: isLog ? 3 : 1, range: () => this.#yRange() },
      },
      axes: [
        {
          ...axisStyle,
          grid: { show: false },
          size: 24,
          gap: 4,
          space: 70,
          incrs: X_STEPS[axis],
          values: (/** @type {any} */ _, /** @type {number[]} */ xs) => xs.map((x) => this.#view.xText(x)),
        },
        {
          ...axisStyle,
          size: 56, // 50 cuts "20,000"
          gap: 6,
          space: 28,
          splits: isLog ? (/** @type {any} */ u) => stepsOf(u.scales.y.min, u.scales.y.max, true) : undefined,
          filter: (/** @type {any} */ _, /** @type {number[]} */ ys) => ys,
          values: (/** @type {any} */ _, /** @type {number[]} */ ys) => ys.map((y) => format(y)),
        },
      ],
      series: [{}, ...this.#drawing.lines.map(seriesOf)],
      hooks: {
        drawAxes: [(/** @type {any} */ u) => paintClouds(u, this.#drawing.clouds ?? [], this.#isLog())],
        draw: [(/** @type {any} */ u) => paintMarks(u, this.#drawing)],
        setCursor: [(/** @type {any} */ u) => this.#onCursor(u)],
        setSelect: [(/** @type {any} */ u) => this.#onSelect(u)],
        ready: [(/** @type {any} */ u) => {
          listenToWheel(u.over, this.listeners);
          listenToFingers(u.over, this.listeners);
        }],
      },
    };
  }

  /** @returns {[number, number]} */
  #yRange() {
    const { min, max } = this.#view, { xs, lines, clouds = [] } = this.#drawing;
    const columns = [
      ...lines.map(({ ys }) => ({ xs, values: ys })),
      ...clouds.flatMap((
        cloud,
      ) => [{ xs: cloud.xs, values: cloud.low }, { xs: cloud.xs, values: cloud.high }]),
    ];
    return this.spec.fixed ?? rangeOf(columns, { min, max }, this.#isLog(), this.spec.isFromZero === true);
  }

  /** @param {any} u */
  #onCursor(u) {
    this.#writeValues(u.cursor.idx);
    const isHere = u.cursor.event !== undefined && u.cursor.left >= 0;
    this.listeners.onCursor(isHere ? u.posToVal(u.cursor.left, "x") : null);
  }

  /** @param {any} u */
  #onSelect(u) {
    const { left, width } = u.select;
    if (width === 0) return;
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (width < SHORTEST_DRAG) return;
    this.listeners.onZoom({ min: u.posToVal(left, "x"), max: u.posToVal(left + width, "x") });
  }

  #writeNames() {
    fill(
      this.readout,
      this.#drawing.lines.map(({ name, colour, hasPoints }) => {
        const key = el("i", { class: hasPoints ? "key ring" : "key", style: { "--key": colour } });
        return el("span", { title: name }, key, this.spec.hasNames && `${name} `, el("output", {}));
      }),
    );
  }

  /**
   * Writes the values at a row, or the last ones.
   *
   * @param {number | null} [row]
   */
  #writeValues(row) {
    const outputs = this.readout.querySelectorAll("output");
    const texts = this.#drawing.lines.map(({ ys, told = ys }) => {
      if (row === null || row === undefined) return this.spec.format(told.findLast((y) => y !== undefined));
      return this.spec.format(told[toldAt(told, row)]);
    });
    texts.forEach((text, index) => outputs[index] && setText(outputs[index], text));
    if (row === null || row === undefined) {
      const values = this.#drawing.lines.map(({ name }, index) => `${name} ${texts[index]}`).join(", ");
      this.element.setAttribute("aria-label", `${this.spec.words ?? this.spec.title}: ${values}`);
    }
  }
}

/**
 * The row that says a line's value at a row: an earlier one where only other lines have a value there.
 *
 * @param {(Maybe | undefined)[]} ys
 * @param {number} row
 */
function toldAt(ys, row) {
  for (let earlier = row; earlier >= Math.max(0, row - LOOK_BACK); earlier--) {
    if (ys[earlier] !== undefined) return earlier;
  }
  return row;
}

/** @param {string} type */
function isMove(type) {
  return type === "mousemove" || type === "mouseleave";
}

/** @param {Line} line */
function seriesOf({ colour, width = 1.5, dash, hasPoints, fill }) {
  return {
    stroke: colour,
    width,
    dash,
    fill,
    points: { show: hasPoints === true, size: 5, width: 0, fill: colour },
  };
}
