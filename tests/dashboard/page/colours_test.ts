/** That colours of overlaid runs can be told apart, also with a colour vision deficiency. */

import assert from "node:assert/strict";
import { MOST_RUNS } from "../../../src/dashboard/page/choices.js";
import { RUN_COLOURS } from "../../../src/dashboard/page/theme.js";

type Triple = [number, number, number];

/** Linear RGB as seen with a complete deficiency: Machado, Oliveira and Fernandes 2009, severity 1. */
const VISION: Record<string, Triple[]> = {
  usual: [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [
    -0.003882,
    -0.048116,
    1.051998,
  ]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [
    -0.01182,
    0.04294,
    0.968881,
  ]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [
    0.004733,
    0.691367,
    0.3039,
  ]],
};
/** Panels of page.css. */
const PAPER = { light: "#ffffff", dark: "#16191c" };

const times = (matrix: Triple[], v: Triple) =>
  matrix.map((row) => row[0] * v[0] + row[1] * v[1] + row[2] * v[2]) as Triple;

function linear(colour: string): Triple {
  return [1, 3, 5].map((at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  }) as Triple;
}

/** OKLab, in which distances are about as large as they look. */
function lab(rgb: Triple): Triple {
  const cone = times([[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.6806995, 0.10739696], [
    0.08830246,
    0.28171884,
    0.6299787,
  ]], rgb)
    .map((value) => Math.cbrt(Math.max(0, value))) as Triple;
  return times([[0.21045426, 0.7936178, -0.00407205], [1.9779985, -2.4285922, 0.4505937], [
    0.02590404,
    0.78277177,
    -0.80867577,
  ]], cone);
}

const luminance = ([r, g, b]: Triple) => 0.2126 * r + 0.7152 * g + 0.0722 * b;

for (const theme of ["light", "dark"] as const) {
  Deno.test(`colours of runs in the ${theme} theme stand out from the panel and from each other`, () => {
    const colours = RUN_COLOURS[theme];
    assert.equal(colours.length, MOST_RUNS);
    for (const colour of colours) {
      const [low, high] = [colour, PAPER[theme]].map((c) => luminance(linear(c))).sort((a, b) => a - b);
      assert.ok((high + 0.05) / (low + 0.05) >= 2.8, `${colour} on ${PAPER[theme]}`);
    }
    for (const [vision, matrix] of Object.entries(VISION)) {
      const seen = colours.map((colour) =>
        lab(times(matrix, linear(colour)).map((c) => Math.min(1, Math.max(0, c))) as Triple)
      );
      for (let a = 0; a < seen.length; a++) {
        for (let b = 0; b < a; b++) {
          const distance = Math.hypot(...seen[a].map((value, i) => value - seen[b][i]));
          assert.ok(
            distance > 0.07,
            `${vision}: ${colours[a]} and ${colours[b]} are ${distance.toFixed(3)} apart`,
          );
        }
      }
    }
  });
}
