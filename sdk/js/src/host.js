// The host's doors, from the contract's form to JavaScript's. The contract's functions come in as `doors`: the imports of
// a component, or what a test puts there.

import { Failure } from "./failure.js";
import { Response, toContract } from "./http.js";
import { bytesOf } from "./bytes.js";

const LEVELS = ["error", "warn", "info", "debug"];

/** The host as providers see it. */
export function providerHost({ http, log, entropy, files, templating }) {
  return {
    ...engineHost({ entropy }),
    http: {
      send: (request) => new Response(attempt(() => http.send(toContract(request)))),
      sendAll: (requests) => (requests.length === 0 ? [] : http.sendAll(requests.map(toContract)).map((one) => settle(one, (v) => new Response(v)))),
    },
    log: Object.fromEntries(LEVELS.map((level) => [level, (message, fields = {}) => log.log(level, message, pairs(fields))])),
    files: {
      read: (root, path) => new Uint8Array(attempt(() => files.read(root, path))),
      list: (root, path = "") => attempt(() => files.listDir(root, path)),
    },
    templating: {
      render: (jobs, options = {}) =>
        templating.render(jobs.map(job), pairs(options)).map((results) => results.map((one) => settle(one, (v) => new Uint8Array(v)))),
    },
  };
}

/** The host as template engines see it. */
export function engineHost({ entropy }) {
  return {
    nowMs: () => Math.floor(entropy.nowNs() / 1e6),
    randomBytes: (count) => {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count; at += 4) {
        // The bindings give 64 bits as a number, which keeps 53 of them: the upper 32 are whole.
        const bits = Math.floor(entropy.randomU64() / 2 ** 32) >>> 0;
        for (let i = 0; i < 4 && at + i < count; i += 1) bytes[at + i] = (bits >>> (8 * i)) & 0xff;
      }
      return bytes;
    },
  };
}

/** `{ a: 1 }` as `[["a", "1"]]`; what is undefined is left out. */
export function pairs(object) {
  return Object.entries(object).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]);
}

function job({ templates, data }) {
  return {
    templates: templates.map(({ name, source }) => ({ name, source, options: [] })),
    data: data.map(({ path, value }) => ({ path, value: bytesOf(value, "a datum") })),
  };
}

function attempt(call) {
  try {
    return call();
  } catch (error) {
    // The bindings throw an Error whose `payload` is the failure.
    if (error?.payload?.code === undefined) throw error;
    throw Failure.from(error.payload);
  }
}

function settle(result, well) {
  return result.tag === "ok" ? well(result.val) : Failure.from(result.val);
}
