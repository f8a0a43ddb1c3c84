import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode, members, pickJson, property, Absent, InvalidRequest } from "../src/index.js";
import { decodeLossily } from "../src/bytes.js";

test("encodes and decodes as the platform does", () => {
  const texts = ["", "plain", "täxt €", "\u{1f600}", "x".repeat(10_000), `${"x".repeat(4095)}ä${"€".repeat(5000)}\u{1f600}`];
  for (const text of texts) {
    assert.deepEqual(encode(text), new TextEncoder().encode(text));
    assert.equal(decode(new TextEncoder().encode(text)), text);
  }
  assert.deepEqual(encode("a\ud800b"), new TextEncoder().encode("a\ud800b"));
});

test("does not take for text what is none", () => {
  for (const bytes of [[0xff], [0xc0, 0x80], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0x80], [0x61, 0xc3]]) {
    assert.equal(decode(new Uint8Array(bytes)), undefined, bytes.join());
  }
  assert.equal(decodeLossily(new Uint8Array([0x61, 0xff, 0x62])), "a\ufffdb");
});

test("finds properties by their own text", () => {
  const document = '{ "a": {"b.c": [1.50, 9007199254740993, "x\\"}y", {"k" : null}], "e": 1e5}, "a2": true, "d": 1, "d": 2 , "":""}';
  const cases = {
    "a.b\\.c.0": "1.50",
    "a.b\\.c.1": "9007199254740993",
    "a.b\\.c.2": 'x"}y',
    "a.b\\.c.3": '{"k" : null}',
    "a.b\\.c.3.k": "null",
    "a.e": "1e5",
    a2: "true",
    d: "2",
    "a.b\\.c.9": undefined,
    "a.b.c": undefined,
    "a2.x": undefined,
    nope: undefined,
    __proto__: undefined,
  };
  for (const [path, expected] of Object.entries(cases)) assert.equal(property(document, path), expected, path);
  assert.equal(property("no json", "a"), undefined);
});

test("takes members of objects only", () => {
  assert.deepEqual([...members(' {"a":"x","__proto__":1,"c":[1, 2]}\n')], [["a", "x"], ["__proto__", "1"], ["c", "[1, 2]"]]);
  for (const text of ["[1]", '"x"', "1", "{", ""]) assert.equal(members(text), undefined, text);
  assert.deepEqual([...members("{}")], []);
});

test("skips long texts quickly and rightly", () => {
  const long = `${"x".repeat(1_000_000)}\\\\`;
  const document = JSON.stringify({ long, after: "y" });
  assert.equal(property(document, "after"), "y");
  assert.equal(property(document, "long"), long);
});

test("leaves bytes alone where nothing is picked from them", () => {
  const bytes = new Uint8Array([0xff, 0]);
  assert.equal(pickJson(bytes, { members: false }, "x"), bytes);
  assert.throws(() => pickJson(bytes, { property: "a", members: false }, "x"), Absent);
  assert.throws(() => pickJson(bytes, { members: true }, "x"), InvalidRequest);
});
