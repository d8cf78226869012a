/**
 * The files of the page: those in `page/`, and uPlot's, which come with the package. Nothing is built, and nothing is fetched.
 *
 * @module
 */

import uPlotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import uPlotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import { answer } from "../http/answers.ts";

/** A file of the page by the path of its address; undefined where there is none. */
export async function pageFile(path: string): Promise<Response | undefined> {
  if (path === "/uplot.js") return answer(uPlotScript, "js");
  if (path === "/uplot.css") return answer(uPlotStyle, "css");
  const [, name, kind] = /^\/([a-z0-9_-]+)\.(html|js|css|svg)$/.exec(path === "/" ? "/index.html" : path) ??
    [];
  if (name === undefined) return undefined;
  try {
    return answer(await Deno.readTextFile(new URL(`./page/${name}.${kind}`, import.meta.url)), kind);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
