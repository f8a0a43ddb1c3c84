// What a plugin's module exports. These functions only look whether it is whole, so that a mistake is told when the plugin
// is built or tested and not at the first call.

import { Failure } from "./failure.js";

/** A provider: reads a backend. */
export function defineProvider(provider) {
  whole("defineProvider", provider, ["examine", "probe", "read"]);
  if (provider.login !== undefined) whole("defineProvider: login", provider.login, ["open", "renew", "close"]);
  if (provider.find !== undefined && typeof provider.find !== "function") {
    throw new TypeError("defineProvider: find has to be a function");
  }
  return Object.freeze({ ...provider, describe: described(provider.describe) });
}

/** A template engine. */
export function defineEngine(engine) {
  whole("defineEngine", engine, ["render"]);
  return Object.freeze({ ...engine, describe: described(engine.describe) });
}

function whole(what, object, functions) {
  for (const name of functions) {
    if (typeof object?.[name] !== "function") throw new TypeError(`${what} needs a function ${name}`);
  }
}

function described(describe) {
  if (typeof describe !== "object" || describe === null) throw new TypeError("describe has to be an object");
  for (const name of ["name", "version", "summary"]) {
    if (typeof describe[name] !== "string") throw new TypeError(`describe.${name} has to be a string`);
  }
  if (!Array.isArray(describe.serves) || describe.serves.length === 0) {
    throw new TypeError("describe.serves has to list at least one key");
  }
  return Object.freeze({ asks: [], batchSize: 0, config: { type: "object" }, ...describe });
}

/** An object, all whose picks were taken by `take`; what it throws is that pick's failure, and no other's. */
export function answer(request, tag, take) {
  const parts = request.picks.map((pick) => {
    try {
      return take(pick);
    } catch (error) {
      // A mistake in the plugin is not this object's failure: it ends the call, where it is told as a mistake.
      if (!(error instanceof Failure)) throw error;
      return error;
    }
  });
  return { parts, tag };
}

/** What `known` stands for still holds. */
export function unchanged(tag) {
  return { unchanged: true, tag };
}

/** An object that could not be read, where the backend gave a tag all the same. Without one, the failure alone will do. */
export function failed(failure, tag) {
  return { failure, tag };
}
