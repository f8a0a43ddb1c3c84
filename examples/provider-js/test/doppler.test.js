import assert from "node:assert/strict";
import { test } from "node:test";
import { Absent, Denied, Internal, InvalidRequest, NotFound, RateLimited, Timeout, Unauthenticated, Unavailable, Unsupported } from "@postern/sdk";
import { testProvider } from "@postern/sdk/testing";
import plugin from "../src/index.js";

const TOKEN = "/auth/secretRef/dopplerToken";
const call = {
  config: { auth: { secretRef: { dopplerToken: { name: "doppler" } } }, project: "shop & co", config: "prd", nameTransformer: "camel" },
  credentials: { [TOKEN]: "dp.st.prd.hunter2\n" },
};
const secrets = { DB: '{"user":"root","port":5432,"big":9007199254740993,"tls":{"on":true}}', PLAIN: "text", EMPTY: "" };
const ok = () => ({ status: 200, headers: { etag: 'W/"1"' }, body: JSON.stringify(secrets) });
const read = (http, asked, context = call) => {
  const provider = testProvider(plugin, { http });
  return { outcomes: provider.read(context, asked), ...provider };
};

test("says that one call reads the whole config", () => {
  const { name, serves, batchSize, configSchema } = testProvider(plugin).describe();
  assert.deepEqual([name, serves, batchSize], ["doppler-js", ["doppler"], 0]);
  const { properties, additionalProperties } = JSON.parse(configSchema);
  assert.equal(properties.auth.properties.secretRef.properties.dopplerToken["x-postern-ref"], "secret-key");
  assert.equal(additionalProperties, false);
});

test("needs its token and the place that the config names", () => {
  const provider = testProvider(plugin);
  const [reference] = provider.examine(call.config).references;
  assert.deepEqual([reference.pointer, reference.options], [TOKEN, [["default-key", "dopplerToken"]]]);
  assert.equal(provider.examine(call.config).endpoints[0].origin, "https://api.doppler.com");
  assert.equal(provider.examine({ ...call.config, baseUrl: "http://127.0.0.1:8080" }).endpoints[0].origin, "http://127.0.0.1:8080");
});

test("tells every problem of a config", () => {
  const provider = testProvider(plugin);
  const pointers = (config) => {
    try {
      return provider.examine({ ...call.config, ...config });
    } catch (problems) {
      return problems.map(({ pointer }) => pointer);
    }
  };
  assert.deepEqual(pointers({ baseUrl: "https://x/v3", format: "yaml" }), ["/baseUrl", "/format"]);
  for (const baseUrl of ["ftp://x", "https://u:p@x", "https://x?a=b", "https://", "x"]) {
    assert.deepEqual(pointers({ baseUrl }), ["/baseUrl"], baseUrl);
  }
});

test("reads any number of objects with one request", () => {
  const { outcomes, requests, logs } = read(ok, [
    { key: "PLAIN" },
    { key: "EMPTY" },
    { key: "DB", picks: [{ property: "user" }, { property: "port" }, { property: "big" }, { property: "tls" }, { property: "nope" }, { members: true }] },
  ]);
  const [plain, empty, db] = outcomes;
  assert.deepEqual(plain, { tag: 'W/"1"', parts: ["text"] });
  assert.deepEqual(empty.parts, [""]);
  assert.deepEqual(db.parts.slice(0, 4), ["root", "5432", "9007199254740993", '{"on":true}']);
  assert.ok(db.parts[4] instanceof Absent);
  assert.deepEqual(db.parts[5], { user: "root", port: "5432", big: "9007199254740993", tls: '{"on":true}' });
  assert.deepEqual(requests, [{
    method: "GET",
    url: "https://api.doppler.com/v3/configs/config/secrets/download?format=json&project=shop%20%26%20co&config=prd&name_transformer=camel",
    headers: { accept: "application/json", authorization: "Bearer dp.st.prd.hunter2" },
    body: null,
    options: [],
  }]);
  assert.deepEqual(logs, [{ level: "debug", message: "read", fields: { status: "200", objects: "3" } }]);
});

test("asks for nothing where nothing is asked", () => {
  const { outcomes, requests } = read(ok, []);
  assert.deepEqual([outcomes, requests], [[], []]);
});

test("fails the objects that it cannot read and no other", () => {
  const { outcomes } = read(ok, [
    { key: "NOPE" },
    { key: "PLAIN", version: "3" },
    { key: "PLAIN", metadata: true },
    { key: "PLAIN", picks: [{ members: true }, {}] },
  ]);
  assert.ok(outcomes[0].failure instanceof Absent);
  assert.ok(outcomes[1].failure instanceof Unsupported);
  assert.ok(outcomes[2].failure instanceof Unsupported);
  assert.ok(outcomes[3].parts[0] instanceof InvalidRequest);
  assert.equal(outcomes[3].parts[1], "text");
});

test("offers a tag only where all have seen the same", () => {
  const same = read(() => ({ status: 304, headers: { etag: "t" } }), [{ key: "A", known: "t" }, { key: "B", known: "t" }]);
  assert.equal(same.requests[0].headers["if-none-match"], "t");
  assert.deepEqual(same.outcomes, [{ tag: "t", unchanged: true }, { tag: "t", unchanged: true }]);
  const mixed = read(ok, [{ key: "PLAIN", known: "t" }, { key: "EMPTY" }]);
  assert.equal("if-none-match" in mixed.requests[0].headers, false);
});

test("tells the refusals of the backend apart", () => {
  const cases = [[401, Unauthenticated], [403, Denied], [404, NotFound], [429, RateLimited], [500, Unavailable], [503, Unavailable], [302, Internal], [418, Internal]];
  for (const [status, kind] of cases) {
    const { outcomes } = read(() => ({ status, headers: { "retry-after": "7" }, body: "hunter3" }), [{ key: "A" }, { key: "B" }]);
    for (const { failure } of outcomes) {
      assert.ok(failure instanceof kind, `${status}`);
      assert.equal(failure.retryAfterMs, status === 429 ? 7000 : undefined);
      assert.doesNotMatch(failure.message, /hunter/);
    }
  }
});

test("passes the host's own failure on as it is", () => {
  const { outcomes } = read(() => new Timeout("as the host says it", { detail: { a: "b" } }), [{ key: "A" }]);
  assert.ok(outcomes[0].failure instanceof Timeout);
  assert.deepEqual([outcomes[0].failure.message, outcomes[0].failure.detail], ["as the host says it", { a: "b" }]);
});

test("does not quote an answer that it cannot read", () => {
  for (const body of ["<html>hunter4", '["hunter4"]', '"hunter4"', "null", '{"a":{"b":"hunter4"}}']) {
    const { outcomes } = read(() => ({ status: 200, body }), [{ key: "A" }]);
    assert.ok(outcomes[0].failure instanceof Internal, body);
    assert.doesNotMatch(outcomes[0].failure.message, /hunter/);
  }
});

test("probes by asking who it is", () => {
  const well = testProvider(plugin, { http: () => ({ status: 200, body: "{}" }) });
  well.probe(call);
  assert.equal(well.requests[0].url, "https://api.doppler.com/v3/me");
  const refused = testProvider(plugin, { http: () => ({ status: 401 }) });
  assert.throws(() => refused.probe(call), Unauthenticated);
});
