/** Debian's Chromium, and a page in it that notices everything that should not be. */

import puppeteer, { type Browser as Chromium, type Page, type Viewport } from "puppeteer-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const executablePath = PLACES.find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/** Why there is no browser; undefined where there is one. */
export const missing = executablePath ? undefined : "there is no chromium: apt-get install chromium";

/** A browser that ends with the test. */
export class Browser implements AsyncDisposable {
  private constructor(private readonly chromium: Chromium) {}

  static async open(): Promise<Browser> {
    // As root there is no sandbox, and a container's /dev/shm is small.
    const args = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"];
    return new Browser(await puppeteer.launch({ executablePath, args, timeout: 60_000 }));
  }

  /** A page of its own, with a storage of its own. */
  async page(size: Viewport = { width: 1440, height: 900 }): Promise<Visit> {
    const context = await this.chromium.createBrowserContext();
    const page = await context.newPage();
    await page.setViewport(size);
    return new Visit(page);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.chromium.close();
  }
}

/** A page, and what went wrong on it. */
export class Visit {
  /** Messages of the console, errors of scripts, and requests that left the machine. */
  readonly troubles: string[] = [];

  constructor(readonly page: Page) {
    page.setDefaultTimeout(20_000);
    page.on("console", (message) => {
      if (["error", "warn"].includes(message.type())) this.troubles.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => this.troubles.push(`script: ${error}`));
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      const isHere = hostname === "127.0.0.1" || ["data:", "blob:"].includes(protocol);
      if (!isHere) this.troubles.push(`request: ${request.url()}`);
    });
  }

  /** Waits until the text of an element fits. */
  async reads(selector: string, text: RegExp): Promise<void> {
    const fits = (selector: string, source: string) =>
      new RegExp(source, "s").test(document.querySelector(selector)?.textContent ?? "");
    try {
      await this.page.waitForFunction(fits, { polling: 50 }, selector, text.source);
    } catch {
      const found = await this.page.$eval(selector, (element) => element.textContent).catch(() => "nothing");
      throw new Error(`${selector}: expected ${text}, found ${JSON.stringify(found)}`);
    }
  }

  /** How many pixels of a chart have about this colour. */
  pixels(chart: string, colour: string): Promise<number> {
    return this.page.$eval(`#chart-${chart} canvas`, (canvas, colour) => {
      const wanted = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      const { width, height } = canvas as HTMLCanvasElement;
      const copy = new OffscreenCanvas(width, height).getContext("2d")!; // reading the page's own would make it slow
      copy.drawImage(canvas as HTMLCanvasElement, 0, 0);
      const { data } = copy.getImageData(0, 0, width, height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) {
        const isNear = wanted.every((value, channel) => Math.abs(data[at + channel] - value) < 12);
        if (isNear && data[at + 3] > 200) count++;
      }
      return count;
    }, colour);
  }
}
