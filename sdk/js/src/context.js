// What a call gets: on whose behalf it is made. Credentials and sessions show themselves only when asked by name, so that
// printing a context in a test or a log does not print them.

import { decode } from "./bytes.js";
import { InvalidConfig } from "./failure.js";
import { withDefaults } from "./schema.js";

/** A reference in the store's config that the host has resolved. */
export class Credential {
  #bytes;

  constructor({ pointer, value, attributes = [] }) {
    this.pointer = pointer;
    this.#bytes = value instanceof Uint8Array ? value : new Uint8Array(value);
    this.attributes = Object.fromEntries(attributes);
  }

  /** The bytes, untouched. */
  bytes() {
    return this.#bytes;
  }

  /** The text. */
  text() {
    const text = decode(this.#bytes);
    if (text === undefined) {
      throw new InvalidConfig("what this reference leads to is no text; put the credential there as UTF-8", { pointer: this.pointer });
    }
    return text;
  }
}

/** On whose behalf a call is made. */
export class Context {
  #session;

  constructor({ config, credentials = [], session, namespace, deadlineMs, options = [] }, schema) {
    this.config = configOf(config, schema);
    this.credentials = credentials.map((one) => new Credential(one));
    this.namespace = namespace ?? undefined;
    this.deadlineMs = deadlineMs;
    this.options = Object.fromEntries(options);
    this.#session = session === undefined || session === null ? undefined : new Uint8Array(session);
  }

  /** The credential of the field at a JSON Pointer, such as `/auth/secretRef/token`; undefined where the config has none. */
  optionalCredential(pointer) {
    return this.credentials.find((one) => one.pointer === pointer);
  }

  /** As `optionalCredential`; it throws where there is none. */
  credential(pointer) {
    const found = this.optionalCredential(pointer);
    if (found === undefined) throw new InvalidConfig("no credential was given for this field", { pointer });
    return found;
  }

  /** What `login` answered. */
  session() {
    return this.#session;
  }
}

function configOf(text, schema) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    // The engine's own words quote the text, and a config may hold what is secret.
    throw new InvalidConfig("the config is no JSON");
  }
  return withDefaults(schema, value);
}
