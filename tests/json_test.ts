import assert from "node:assert/strict";
import { parseJson, stringifyJson } from "../src/json.ts";

Deno.test("numbers that JSON has no word for survive at any depth; texts that only mention them stay texts", () => {
  const value = {
    loss: NaN,
    list: [1, Infinity, -Infinity, null, -0.5],
    inner: { text: "NaN nats", also: "-Infinity ", empty: "" },
  };
  assert.deepEqual(parseJson(stringifyJson(value)), value);
  assert.deepEqual(parseJson(stringifyJson(value, 2)), value);
  assert.equal(stringifyJson(value.list), '[1,"Infinity","-Infinity",null,-0.5]');
});

Deno.test("what is no JSON is refused", () => {
  for (const text of ["NaN", '{"loss":NaN}', '{"loss":', ""]) {
    assert.throws(() => parseJson(text), SyntaxError, text);
  }
});
