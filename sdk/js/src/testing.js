// A host for tests, and a plugin called as the host would call it. No component, no network, no build.

import { decode, encode, bytesOf } from "./bytes.js";
import { Failure } from "./failure.js";
import { engineExports, providerExports } from "./glue.js";

/**
 * A provider over a fake host. `http` gets each request (`{ method, url, headers, body }`, names of headers in lower case)
 * and answers `{ status, headers, body }` or a Failure. What was asked and logged is kept in `requests` and `logs`.
 */
export function testProvider(plugin, { http = () => ({ status: 404 }), files = {}, nowMs = 0 } = {}) {
  const requests = [];
  const logs = [];
  const exports = providerExports(plugin, doors({ http, files, nowMs, requests, logs }));
  const context = ({ config = {}, credentials = {}, session, namespace, options = {} }) => ({
    config: JSON.stringify(config),
    credentials: resolved(credentials),
    session: session === undefined ? null : bytesOf(session, "a session"),
    namespace: namespace ?? null,
    deadlineMs: 30_000,
    options: Object.entries(options),
  });
  return {
    requests,
    logs,
    describe: () => exports.describe.describe(),
    /** What the config needs; the problems, a list, are thrown. */
    examine: (config, credentials = {}) => exports.check.examine(JSON.stringify(config), resolved(credentials), []),
    probe: (call) => rethrow(() => exports.check.probe(context(call))),
    /** One outcome a request, each `{ tag, unchanged }`, `{ failure }` or `{ tag, parts }`, with texts for values. */
    read: (call, asked) => exports.read.getBatch(context(call), asked.map(filled)).map(readable),
    login: exports.login && Object.fromEntries(["open", "renew", "close"].map((name) => [name, (call) => rethrow(() => exports.login[name](context(call)))])),
    find: exports.find && ((call, query = {}, after = null) => rethrow(() => exports.find.listPage(context(call), { path: null, name: null, options: [], ...query, tags: Object.entries(query.tags ?? {}) }, after))),
  };
}

/** A template engine over a fake host: `render(source, data)` answers a text or throws a Failure. */
export function testEngine(plugin, { nowMs = 0 } = {}) {
  const exports = engineExports(plugin, { entropy: entropy(nowMs) });
  return {
    describe: () => exports.describe.describe(),
    render: (source, data = [], options = {}) => {
      const jobs = [{ templates: [{ name: "test", source, options: [] }], data: data.map(({ path, value }) => ({ path, value: bytesOf(value, "a datum") })) }];
      const [[result]] = exports.render.render(jobs, Object.entries(options));
      if (result.tag === "err") throw Failure.from(result.val);
      return decode(result.val);
    },
    check: (source, options = {}) => exports.render.check([{ name: "test", source, options: [] }], Object.entries(options)),
  };
}

function doors({ http, files, nowMs, requests, logs }) {
  const exchange = (sent) => {
    const request = { ...sent, headers: Object.fromEntries(sent.headers.map(([name, value]) => [name.toLowerCase(), value])) };
    requests.push(request);
    const answer = http(request);
    if (answer instanceof Failure) return { tag: "err", val: told(answer) };
    const { status = 200, headers = {}, body = "" } = answer;
    return { tag: "ok", val: { status, headers: Object.entries(headers), body: bytesOf(body, "a body"), options: [] } };
  };
  return {
    http: { send: (request) => unwrapped(exchange(request)), sendAll: (all) => all.map(exchange) },
    log: { log: (level, message, fields) => logs.push({ level, message, fields: Object.fromEntries(fields) }) },
    entropy: entropy(nowMs),
    files: {
      read: (root, path) => {
        const found = files[root]?.[path];
        if (found === undefined) throw payload({ code: "not-found", message: `no file ${path} in ${root}`, retryAfterMs: null, detail: [] });
        return bytesOf(found, "a file");
      },
      listDir: (root) => Object.keys(files[root] ?? {}).sort(),
    },
    templating: { render: (jobs) => jobs.map(({ templates }) => templates.map(({ source }) => ({ tag: "ok", val: encode(source) }))) },
  };
}

/** Repeats itself, so that a test does too. */
function entropy(nowMs) {
  let state = 0;
  return {
    nowNs: () => nowMs * 1e6,
    randomU64: () => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state * 2 ** 32;
    },
  };
}

function unwrapped(result) {
  if (result.tag === "ok") return result.val;
  throw payload(result.val);
}

/** As the bindings of a component throw. */
function payload(failure) {
  return Object.assign(new Error("a failure of the host"), { payload: failure });
}

function rethrow(call) {
  try {
    return call();
  } catch (error) {
    throw error?.code === undefined || error instanceof Error ? error : Failure.from(error);
  }
}

function told({ code, message, retryAfterMs, detail }) {
  return { code, message, retryAfterMs: retryAfterMs ?? null, detail: Object.entries(detail) };
}

function resolved(credentials) {
  return Object.entries(credentials).map(([pointer, value]) => ({ pointer, value: bytesOf(value, "a credential"), attributes: [] }));
}

function filled({ key, version = null, metadata = false, picks = [{}], known = null }) {
  return {
    key,
    version,
    metadata,
    picks: picks.map(({ property = null, members = false }) => ({ property, members })),
    known,
    options: [],
  };
}

function readable({ answer, tag }) {
  const named = tag === null ? {} : { tag };
  if (answer.tag === "failed") return { ...named, failure: Failure.from(answer.val) };
  if (answer.tag === "unchanged") return { ...named, unchanged: true };
  return { ...named, parts: answer.val.map(readablePart) };
}

function readablePart({ tag, val }) {
  if (tag === "failed") return Failure.from(val);
  if (tag === "members") return Object.fromEntries(val.map(([name, value]) => [name, decode(value) ?? value]));
  return decode(val) ?? val;
}
