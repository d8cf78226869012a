/** Texts in files, for the tests of how they are read. */

import assert from "node:assert/strict";
import { type Corpus, loadCorpus } from "../../src/data/corpus.ts";
import { ConfigError } from "../../src/errors.ts";

export const encode = (text: string) => new TextEncoder().encode(text);
export const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A folder that is removed after the test, for the files of a text. */
export class TextFolder implements AsyncDisposable {
  /** The lines that the last load told. */
  told: string[] = [];

  private constructor(readonly path: string) {}

  static async open(): Promise<TextFolder> {
    return new TextFolder(await Deno.makeTempDir({ prefix: "flashmob-text-" }));
  }

  /** Writes files by name. */
  async write(files: Record<string, string | Uint8Array>): Promise<void> {
    for (const [name, content] of Object.entries(files)) {
      const path = `${this.path}/${name}`;
      await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      await Deno.writeFile(path, typeof content === "string" ? encode(content) : content);
    }
  }

  /** Runs a command of the shell in the folder. */
  async shell(command: string): Promise<void> {
    const { success } = await new Deno.Command("sh", { args: ["-c", command], cwd: this.path }).output();
    assert.ok(success, command);
  }

  /** Loads a file in the folder, or the folder. */
  async load(name = "", options: { documents?: boolean; raw?: boolean } = {}): Promise<Corpus> {
    this.told = [];
    const path = name === "" ? this.path : `${this.path}/${name}`;
    return await loadCorpus(path, { validation: 0.5, ...options }, {
      onSkipped: (line) => this.told.push(line),
    });
  }

  /** The text of a file in the folder, or of the folder. */
  async read(name = "", options: { raw?: boolean } = {}): Promise<string> {
    const { train, validation } = await this.load(name, options);
    return decode(new Uint8Array([...train, ...validation]));
  }

  /** Asserts that a file, or the folder, is rejected with a message. */
  async refuses(name: string, ...words: RegExp[]): Promise<void> {
    await rejectsWith(this.load(name), ...words);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** Asserts that something is refused by a ConfigError. */
export async function rejectsWith(promise: Promise<unknown>, ...patterns: RegExp[]): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof ConfigError, String(error));
    for (const pattern of patterns) assert.match(error.message, pattern);
    return true;
  });
}
