// The plugin called as Postern calls it, over a host that is a function here. No component is built for this.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Absent, Denied, InvalidRequest, RateLimited } from "@postern/sdk";
import { testProvider } from "@postern/sdk/testing";
import plugin from "../src/index.js";

const call = {
  config: { url: "https://secrets.example.com/v1", auth: { secretRef: { token: { name: "t", key: "token" } } } },
  credentials: { "/auth/secretRef/token": "hunter2\n" },
};
const objects = { "/v1/app/db.json": '{"user":"root","port":5432}', "/v1/plain": "text" };
const server = ({ url }) => {
  const body = objects[new URL(url).pathname];
  return body === undefined ? { status: 404 } : { status: 200, headers: { ETag: '"1"' }, body };
};

test("needs the token and the server of the config", () => {
  const needs = testProvider(plugin).examine(call.config);
  assert.deepEqual(needs.references.map(({ pointer }) => pointer), ["/auth/secretRef/token"]);
  assert.deepEqual(needs.endpoints.map(({ origin }) => origin), ["https://secrets.example.com"]);
});

test("says which field of the config is wrong", () => {
  assert.throws(() => testProvider(plugin).examine({ url: "example.com" }), ([problem]) => problem.pointer === "/url");
});

test("reads objects, properties and members", () => {
  const provider = testProvider(plugin, { http: server });
  const [plain, db] = provider.read(call, [
    { key: "plain" },
    { key: "app/db.json", picks: [{ property: "port" }, { members: true }, { property: "nope" }] },
  ]);
  assert.deepEqual(plain, { tag: '"1"', parts: ["text"] });
  assert.deepEqual(db.parts.slice(0, 2), ["5432", { user: "root", port: "5432" }]);
  assert.ok(db.parts[2] instanceof Absent);
  assert.equal(provider.requests[0].headers.authorization, "Bearer hunter2");
});

test("fails the object that is not there and no other", () => {
  const [gone, plain, noObject] = testProvider(plugin, { http: server }).read(call, [
    { key: "gone" },
    { key: "plain" },
    { key: "plain", picks: [{ members: true }] },
  ]);
  assert.ok(gone.failure instanceof Absent);
  assert.deepEqual(plain.parts, ["text"]);
  assert.ok(noObject.parts[0] instanceof InvalidRequest);
});

test("asks only for what has changed", () => {
  const provider = testProvider(plugin, { http: () => ({ status: 304 }) });
  assert.deepEqual(provider.read(call, [{ key: "a", known: '"1"' }]), [{ tag: '"1"', unchanged: true }]);
  assert.equal(provider.requests[0].headers["if-none-match"], '"1"');
});

test("tells refusals apart", () => {
  const read = (answer) => testProvider(plugin, { http: () => answer }).read(call, [{ key: "a" }])[0].failure;
  assert.ok(read({ status: 403 }) instanceof Denied);
  const throttled = read({ status: 429, headers: { "retry-after": "3" } });
  assert.ok(throttled instanceof RateLimited);
  assert.equal(throttled.retryAfterMs, 3000);
});
