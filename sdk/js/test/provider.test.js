import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";
import * as sdk from "../src/index.js";
import { testEngine, testProvider } from "../src/testing.js";

const describe = {
  name: "x",
  version: "1",
  serves: ["x"],
  summary: "s",
  config: sdk.schema.object({ url: sdk.schema.string({ default: "http://d" }), token: sdk.schema.optional(sdk.schema.secretKey()) }),
};
const provider = (parts, host) => testProvider(sdk.defineProvider({ describe, examine: () => ({}), probe() {}, read: () => [], ...parts }), host);

test("refuses a provider that is not whole", () => {
  assert.throws(() => sdk.defineProvider({ describe, examine() {}, probe() {} }), /read/);
  assert.throws(() => sdk.defineProvider({ describe: { ...describe, serves: [] }, examine() {}, probe() {}, read() {} }), /serves/);
  assert.throws(() => provider({ login: { open() {} } }), /renew/);
});

test("shows the schema, and fills in its defaults", () => {
  let seen;
  const it = provider({ examine: ({ config }) => ((seen = config), { references: ["/token"] }) });
  const schema = JSON.parse(it.describe().configSchema);
  assert.equal(schema.required, undefined);
  assert.equal(schema.properties.token["x-postern-ref"], "secret-key");
  assert.equal(it.examine({}).references[0].pointer, "/token");
  assert.deepEqual(seen, { url: "http://d" });
});

test("tells problems by field", () => {
  const it = provider({ examine: () => { throw new sdk.InvalidConfig("wrong", { pointer: "/url" }); } });
  assert.throws(() => it.examine({}), (problems) => assert.deepEqual(problems, [{ pointer: "/url", message: "wrong", options: [] }]) === undefined);
});

test("fails all objects of a read that failed as a whole", () => {
  const it = provider({ read: () => { throw new sdk.RateLimited("slow", { retryAfterMs: 5, detail: { id: 7 } }); } });
  for (const { failure } of it.read({}, [{ key: "a" }, { key: "b" }])) {
    assert.ok(failure instanceof sdk.RateLimited);
    assert.deepEqual([failure.message, failure.retryAfterMs, failure.detail], ["slow", 5, { id: "7" }]);
  }
});

test("tells kind and place of a mistake, and none of its words", () => {
  const it = provider({ read: (context) => JSON.parse(context.credential("/token").text()) });
  const [{ failure }] = it.read({ credentials: { "/token": "hunter2" } }, [{ key: "a" }]);
  assert.equal(failure.code, "internal");
  assert.match(failure.message, /SyntaxError in read/);
  assert.doesNotMatch(failure.message + JSON.stringify(it.logs), /hunter/);
});

test("refuses a promise by name, and a list of another length", () => {
  const [{ failure }] = provider({ read: async () => [] }).read({}, [{ key: "a" }]);
  assert.match(failure.message, /async/);
  assert.match(provider({}).read({}, [{ key: "a" }])[0].failure.message, /one outcome a request/);
});

test("keeps one object's failure from the others", () => {
  const read = (_, requests) => requests.map((request) =>
    request.key === "bad" ? new sdk.Denied("no") : sdk.answer(request, "t", ({ property }) => {
      if (property === "p") throw new sdk.Absent("no p");
      return new Map([["m", new Uint8Array([0xff])]]);
    }));
  const [bad, good] = provider({ read }).read({}, [{ key: "bad" }, { key: "good", picks: [{ property: "p" }, {}] }]);
  assert.ok(bad.failure instanceof sdk.Denied);
  assert.ok(good.parts[0] instanceof sdk.Absent);
  assert.deepEqual(good.parts[1], { m: new Uint8Array([0xff]) });
});

test("cuts a message to one short line", () => {
  const it = provider({ read: () => { throw new sdk.Internal(`a\nb ${"€".repeat(300)}`); } });
  const { message } = it.read({}, [{ key: "a" }])[0].failure;
  assert.ok(message.startsWith("a b €") && Buffer.byteLength(message) <= 400);
});

test("prints neither credential nor session", () => {
  let seen;
  provider({ probe: (context) => void (seen = context) }).probe({ credentials: { "/token": "hunter2" }, session: "hunter3" });
  assert.doesNotMatch(inspect(seen, { depth: 9 }) + JSON.stringify(seen), /hunter|104,\s*117/);
  assert.equal(seen.credential("/token").text(), "hunter2");
  assert.equal(sdk.decode(seen.session()), "hunter3");
});

test("throws the host's failure from send, and lists it from sendAll", () => {
  const http = ({ url }) => (url.endsWith("no") ? new sdk.Timeout("late") : { status: 200, body: "{}" });
  let all;
  const it = provider({
    probe: (_, host) => host.http.send({ url: "http://x/no" }),
    read: (_, requests, host) => ((all = host.http.sendAll([{ url: "http://x/no" }, { url: "http://x", method: "POST", body: "ä", headers: { a: "1", b: undefined } }])), requests.map(() => new sdk.Denied("x"))),
  }, { http });
  assert.throws(() => it.probe({}), sdk.Timeout);
  it.read({}, [{ key: "a" }]);
  assert.ok(all[0] instanceof sdk.Timeout);
  assert.deepEqual(all[1].json("x"), {});
  assert.deepEqual(it.requests.at(-1).headers, { a: "1" });
  assert.deepEqual(it.requests.at(-1).body, new Uint8Array([0xc3, 0xa4]));
});

test("logs in, renews, and finds", () => {
  const it = provider({
    login: { open: () => ({ token: "t", expiresInMs: 9 }), renew: () => { throw new sdk.Unauthenticated("gone"); }, close() {} },
    find: (_, { tags, name }) => ({ found: [{ key: `${tags.a}${name}`, value: "v" }], next: "n" }),
  });
  assert.deepEqual(it.login.open({}), { token: sdk.encode("t"), expiresInMs: 9, options: [] });
  assert.throws(() => it.login.renew({}), sdk.Unauthenticated);
  const page = it.find({}, { tags: { a: "1" }, name: "^x" });
  assert.deepEqual([page.found[0].key, page.next, page.namesApplied], ["1^x", "n", false]);
});

test("draws time and randomness from the host", () => {
  let drawn;
  provider({ probe: (_, host) => void (drawn = [host.nowMs(), host.randomBytes(5).length]) }, { nowMs: 1234 }).probe({});
  assert.deepEqual(drawn, [1234, 5]);
});

test("renders templates, and fails one by one", () => {
  const engine = testEngine(sdk.defineEngine({
    describe,
    render: ({ source }, data) => {
      if (source === "bad") throw new sdk.InvalidRequest("line 1, column 1: no");
      return source.replace("%", sdk.dataTree(data).a.b);
    },
    check: ({ source }) => (source === "bad" ? [{ line: 1, message: "no" }] : []),
  }));
  assert.equal(engine.render("<%>", [{ path: ["a", "b"], value: "ä" }]), "<ä>");
  assert.throws(() => engine.render("bad"), sdk.InvalidRequest);
  assert.deepEqual(engine.check("bad"), [{ name: "test", line: 1, column: 0, message: "no", options: [] }]);
});

test("encodes paths and queries", () => {
  assert.equal(sdk.escapePath("a b/ü?#/(x)"), "a%20b/%C3%BC%3F%23/%28x%29");
  assert.equal(sdk.query({ a: "1 &", b: undefined, c: "" }), "?a=1%20%26&c=");
  assert.equal(sdk.query({ b: undefined }), "");
});

test("splits URLs, and refuses what is none", () => {
  assert.deepEqual(sdk.splitUrl("https://Host.example:8443/a/b"), { origin: "https://Host.example:8443", path: "/a/b" });
  assert.deepEqual(sdk.splitUrl("http://[::1]:80"), { origin: "http://[::1]:80", path: "" });
  for (const url of ["ftp://x", "https://u@x", "https://x?q", "https://x#f", "https://", "x", "https://x y"]) {
    assert.equal(sdk.splitUrl(url), undefined, url);
  }
});

test("reads Retry-After in seconds only", () => {
  const after = (value) => new sdk.Response({ status: 429, headers: [["retry-after", value]], body: [] }).retryAfterMs;
  assert.deepEqual([after("3"), after("Wed, 21 Oct 2015 07:28:00 GMT"), after("-1")], [3000, undefined, undefined]);
});
