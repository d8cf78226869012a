import assert from "node:assert/strict";
import { printable, printableLine } from "../src/printable.ts";

Deno.test("what a terminal obeys is shown as escapes; letters of all languages and ends of lines stay", () => {
  assert.equal(printable("\u001b]0;title\u0007"), "\\u001b]0;title\\u0007");
  assert.equal(printable("\u009b2J\r\b\t\u007f"), "\\u009b2J\\u000d\\u0008\\u0009\\u007f");
  assert.equal(
    printable("user\u202egpj.exe"),
    "user\\u202egpj.exe",
    "nothing turns the direction of writing",
  );
  assert.equal(printable("zeile 1\nZeile 2: größer, 語, 🙂"), "zeile 1\nZeile 2: größer, 語, 🙂");
  assert.equal(printableLine("done\nstep 5 of 5"), "done\\u000astep 5 of 5", "no line can be forged");
  assert.equal(printable(printable("\u001b")), printable("\u001b"));
});

Deno.test("a text that is too long is cut", () => {
  const shown = printable("x".repeat(1_000_000));
  assert.ok(shown.length < 3000 && shown.endsWith("…"));
  assert.ok(printableLine("\u001b".repeat(1_000_000)).length < 20_000);
});
