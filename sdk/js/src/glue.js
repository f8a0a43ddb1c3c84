// Between a plugin and the contract: what the generated bindings call, in the form that they want. A test calls the same.

import { bytesOf } from "./bytes.js";
import { Context } from "./context.js";
import { Failure, Internal, InvalidConfig } from "./failure.js";
import { engineHost, pairs, providerHost } from "./host.js";

const LONGEST_MESSAGE = 400;

/** The exports of a provider's component. */
export function providerExports(plugin, doors) {
  const host = providerHost(doors);
  const schema = plugin.describe.config;
  const told = (error, doing) => failureOf(error, doing, host);
  const call = (doing, work) => {
    try {
      return settled(work(), doing);
    } catch (error) {
      throw told(error, doing);
    }
  };
  return {
    describe: { describe: () => descriptor(plugin.describe) },
    check: {
      examine: (config, credentials, options) => {
        try {
          return needs(settled(plugin.examine(new Context({ config, credentials, options }, schema)), "examine"));
        } catch (error) {
          throw problems(error, told);
        }
      },
      probe: (context) => void call("probe", () => plugin.probe(new Context(context, schema), host)),
    },
    read: {
      getBatch: (context, requests) => {
        try {
          const asked = requests.map(request);
          const answers = settled(plugin.read(new Context(context, schema), asked, host), "read");
          if (!Array.isArray(answers) || answers.length !== requests.length) {
            throw new Internal(`read has to answer a list with one outcome a request: ${requests.length} here`);
          }
          return answers.map((one) => outcome(one, told));
        } catch (error) {
          const failed = { tag: "failed", val: told(error, "read") };
          return requests.map(() => ({ answer: failed, tag: null, options: [] }));
        }
      },
    },
    login: plugin.login && {
      open: (context) => call("login.open", () => session(plugin.login.open(new Context(context, schema), host))),
      renew: (context) => call("login.renew", () => session(plugin.login.renew(new Context(context, schema), host))),
      close: (context) => void call("login.close", () => plugin.login.close(new Context(context, schema), host)),
    },
    find: plugin.find && {
      listPage: (context, query, after) =>
        call("find", () => page(plugin.find(new Context(context, schema), search(query), after ?? undefined, host))),
    },
  };
}

/** The exports of a template engine's component. */
export function engineExports(plugin, doors) {
  const host = engineHost(doors);
  const one = (template, data, options) => {
    try {
      return { tag: "ok", val: bytesOf(settled(plugin.render(template, data, options, host), "render"), "what render answers") };
    } catch (error) {
      return { tag: "err", val: failureOf(error, `render of ${template.name}`) };
    }
  };
  return {
    describe: { describe: () => descriptor(plugin.describe) },
    render: {
      render: (jobs, options) =>
        jobs.map(({ templates, data }) => templates.map((template) => one(template, data, Object.fromEntries(options)))),
      check: (templates, options) =>
        templates.flatMap((template) =>
          (plugin.check?.(template, Object.fromEntries(options)) ?? []).map(({ line = 0, column = 0, message }) => (
            { name: template.name, line, column, message: line1(message), options: [] }
          ))),
    },
  };
}

function descriptor({ name, version, serves, config, asks, batchSize, summary, options = {} }) {
  return {
    name,
    version,
    serves,
    configSchema: JSON.stringify(config),
    asks: asks.map(({ kind, what, why, options: more = {} }) => ({ kind, what, why, options: pairs(more) })),
    batchSize,
    summary,
    options: pairs(options),
  };
}

function needs({ perNamespace = false, references = [], endpoints = [], options = {} } = {}) {
  return {
    perNamespace,
    references: references.map((one) => {
      const { pointer, audiences = [], expiresInS, defaultKey } = typeof one === "string" ? { pointer: one } : one;
      return { pointer, audiences, expiresInS: expiresInS ?? null, options: pairs({ "default-key": defaultKey }) };
    }),
    endpoints: endpoints.map((one) => {
      const { origin, ca, clientCertificate, clientKey, serverName, options: more = {} } = typeof one === "string" ? { origin: one } : one;
      return {
        origin,
        ca: material(ca),
        clientCertificate: material(clientCertificate),
        clientKey: material(clientKey),
        serverName: serverName ?? null,
        options: pairs(more),
      };
    }),
    options: pairs(options),
  };
}

/** A text is the pointer of a reference, bytes are PEM. */
function material(value) {
  if (value === undefined) return null;
  return typeof value === "string" ? { tag: "pointer", val: value } : { tag: "pem", val: bytesOf(value, "PEM") };
}

function problems(error, told) {
  if (error instanceof InvalidConfig) {
    return error.problems.map(({ pointer, message }) => ({ pointer, message: line1(message), options: [] }));
  }
  return [{ pointer: "", message: told(error, "examine").message, options: [] }];
}

function request({ key, version, metadata, picks, known, options }) {
  return {
    key,
    version: version ?? undefined,
    metadata,
    picks: picks.map(({ property, members }) => ({ property: property ?? undefined, members })),
    known: known ?? undefined,
    options: Object.fromEntries(options),
  };
}

function outcome(answer, told) {
  if (answer instanceof Error) return outcome({ failure: answer }, told);
  const tag = answer.tag ?? null;
  if (answer.failure !== undefined) return { answer: { tag: "failed", val: told(answer.failure, "read") }, tag, options: [] };
  if (answer.unchanged === true) return { answer: { tag: "unchanged" }, tag, options: [] };
  return { answer: { tag: "parts", val: answer.parts.map((one) => part(one, told)) }, tag, options: [] };
}

function part(value, told) {
  if (value instanceof Error) return { tag: "failed", val: told(value, "read") };
  if (typeof value === "string" || value instanceof Uint8Array) return { tag: "value", val: bytesOf(value, "a value") };
  if (typeof value !== "object" || value === null) {
    throw new TypeError("a part is a string, a Uint8Array, members (a Map or an object), or a Failure");
  }
  const entries = value instanceof Map ? [...value] : Object.entries(value);
  return { tag: "members", val: entries.map(([name, member]) => [name, bytesOf(member, "a member")]) };
}

function session({ token, expiresInMs }) {
  return { token: bytesOf(token, "a session's token"), expiresInMs: expiresInMs ?? null, options: [] };
}

function search({ path, tags, name, options }) {
  return { path: path ?? undefined, tags: Object.fromEntries(tags), name: name ?? undefined, options: Object.fromEntries(options) };
}

function page({ found, next, namesApplied = false }) {
  return {
    found: found.map(({ key, name, version, value, tag }) => ({
      key,
      name: name ?? null,
      version: version ?? null,
      value: value === undefined ? null : bytesOf(value, "a found value"),
      tag: tag ?? null,
      options: [],
    })),
    next: next ?? null,
    namesApplied,
    options: [],
  };
}

/** A promise would never settle: the contract's functions end when they return. */
function settled(value, doing) {
  if (typeof value?.then === "function") {
    throw new Internal(`${doing} of this plugin is an async function or answers a promise; plugins are synchronous, so write it without`);
  }
  return value;
}

/** A failure in the contract's form. Of a mistake in the plugin only its kind and place are told: its words may quote a value. */
function failureOf(error, doing, host) {
  if (error instanceof Failure) {
    const { code, message, retryAfterMs, detail } = error;
    return { code, message: line1(message), retryAfterMs: retryAfterMs ?? null, detail: pairs(detail) };
  }
  const kind = error instanceof Error ? error.name : typeof error;
  const place = /\(([^()\s]+:\d+:\d+)\)/.exec(error?.stack ?? "")?.[1];
  const message = `a mistake in the plugin: ${kind} in ${doing}${place === undefined ? "" : ` at ${place}`}; tell its author`;
  host?.log.error("a mistake in the plugin", { kind, in: doing, at: place });
  return { code: "internal", message: line1(message), retryAfterMs: null, detail: [] };
}

/** One line that is short enough even where each character takes three bytes. */
function line1(message) {
  const line = message.replace(/\s+/g, " ").trim();
  if (line.length <= LONGEST_MESSAGE / 3) return line;
  let [bytes, end] = [0, 0];
  for (const c of line) {
    const point = c.codePointAt(0);
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    if (bytes > LONGEST_MESSAGE) break;
    end += c.length;
  }
  return line.slice(0, end);
}
