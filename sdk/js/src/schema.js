// A config's schema, said once: it is shown to the host as JSON Schema, gives the config its type in TypeScript, and fills
// in defaults. The host holds every config against it before a plugin sees it, so nothing is checked here a second time.

const OPTIONAL = Symbol("optional");

/** An object with just these fields, all needed but those in {@link optional} and those with a default. */
export function object(fields, more = {}) {
  const entries = Object.entries(fields);
  const required = entries.filter(([, field]) => !field[OPTIONAL] && field.default === undefined).map(([name]) => name);
  return {
    type: "object",
    ...(required.length > 0 && { required }),
    properties: Object.fromEntries(entries),
    additionalProperties: false,
    ...more,
  };
}

/** A field that may be missing. */
export function optional(schema) {
  return { ...schema, [OPTIONAL]: true };
}

/** A text; further keywords of JSON Schema as they are: `{ minLength: 1, default: "x", description: "…" }`. */
export function string(more = {}) {
  return { type: "string", ...more };
}

/** A whole number. */
export function integer(more = {}) {
  return { type: "integer", ...more };
}

/** True or false. */
export function boolean(more = {}) {
  return { type: "boolean", ...more };
}

/** One of these texts. */
export function oneOf(values, more = {}) {
  return { enum: [...values], ...more };
}

/** A list. */
export function list(items, more = {}) {
  return { type: "array", items, ...more };
}

const NAME = { type: "string", minLength: 1 };
const TEXT = { type: "string" };

/** A reference to a key of a Secret: `{ name, key, namespace }`. The host reads it; name it in `examine`'s references. */
export function secretKey(more = {}) {
  return reference("secret-key", ["name"], { name: NAME, key: TEXT, namespace: TEXT }, more);
}

/** A reference to a key of a ConfigMap. */
export function configMapKey(more = {}) {
  return reference("config-map-key", ["name", "key"], { name: NAME, key: TEXT, namespace: TEXT }, more);
}

/** A reference to certificates in a Secret or ConfigMap. */
export function caProvider(more = {}) {
  return reference("ca-provider", ["type", "name"], { type: { enum: ["Secret", "ConfigMap"] }, name: NAME, key: TEXT, namespace: TEXT }, more);
}

/** A reference to a service account, whose token the host asks for. */
export function serviceAccount(more = {}) {
  return reference("service-account", ["name"], { name: NAME, namespace: TEXT, audiences: { type: "array", items: TEXT } }, more);
}

function reference(kind, required, properties, more) {
  return { type: "object", "x-postern-ref": kind, required, properties, additionalProperties: false, ...more };
}

/** A config with the schema's defaults where fields are missing. */
export function withDefaults(schema, value) {
  if (value === undefined && schema.default !== undefined) return schema.default;
  if (schema.properties === undefined || value === null || typeof value !== "object") return value;
  const filled = { ...value };
  for (const [name, field] of Object.entries(schema.properties)) {
    const found = withDefaults(field, value[name]);
    if (found !== undefined) filled[name] = found;
  }
  return filled;
}
