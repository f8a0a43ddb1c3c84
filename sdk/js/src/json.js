// Values inside JSON documents, by their own text: `JSON.parse` would turn 9007199254740993 into another number and 1.50
// into 1.5, and what stands in a vault has to arrive as it stands there.

/**
 * The value at a dotted path into a JSON document (`users.0.name`; `\.` is a dot in a name), or undefined where nothing is
 * there or the text is no JSON. A string is answered without its quotes, everything else as its JSON text.
 */
export function property(document, path) {
  if (!valid(document)) return undefined;
  let raw = document;
  for (const name of split(path)) {
    raw = step(raw, name);
    if (raw === undefined) return undefined;
  }
  return plain(raw);
}

/** The members of a JSON object by name, as {@link property} answers them; undefined where the text is no JSON object. */
export function members(document) {
  if (!valid(document)) return undefined;
  const found = children(document, "{");
  return found && new Map(found.map(([name, raw]) => [name, plain(raw)]));
}

function valid(document) {
  try {
    JSON.parse(document);
    return true;
  } catch {
    return false;
  }
}

function split(path) {
  const names = [""];
  for (let i = 0; i < path.length; i += 1) {
    if (path[i] === ".") {
      names.push("");
      continue;
    }
    if (path[i] === "\\" && i + 1 < path.length) i += 1;
    names[names.length - 1] += path[i];
  }
  return names;
}

function step(raw, name) {
  const object = children(raw, "{");
  // Of members of the same name the last counts, as everywhere else.
  if (object !== undefined) return object.findLast(([own]) => own === name)?.[1];
  if (!/^\d+$/.test(name)) return undefined;
  return children(raw, "[")?.[Number(name)]?.[1];
}

function plain(raw) {
  const text = raw.trim();
  return text.startsWith('"') ? JSON.parse(text) : text;
}

/** Name and text of each child of a valid document, if it is of the kind that the bracket tells. */
function children(document, bracket) {
  const found = [];
  let at = space(document, 0);
  if (document[at] !== bracket) return undefined;
  at = space(document, at + 1);
  while (document[at] !== "}" && document[at] !== "]") {
    let name;
    if (bracket === "{") {
      const end = skip(document, at);
      name = JSON.parse(document.slice(at, end));
      at = space(document, space(document, end) + 1);
    }
    const end = skip(document, at);
    found.push([name, document.slice(at, end)]);
    at = space(document, end);
    if (document[at] === ",") at = space(document, at + 1);
  }
  return found;
}

function space(document, at) {
  while (document[at] === " " || document[at] === "\n" || document[at] === "\t" || document[at] === "\r") at += 1;
  return at;
}

/** Where the value that starts here ends. */
function skip(document, at) {
  let depth = 0;
  do {
    const c = document[at];
    if (c === '"') {
      at = skipString(document, at);
      continue;
    }
    if (c === "{" || c === "[") depth += 1;
    if (c === "}" || c === "]") depth -= 1;
    at += 1;
    if (depth === 0 && c !== "}" && c !== "]") return skipWord(document, at);
  } while (depth > 0);
  return at;
}

/** By the engine's own search, for a string can be a megabyte long. */
function skipString(document, at) {
  let end = at;
  for (;;) {
    end = document.indexOf('"', end + 1);
    let slashes = 0;
    while (document[end - 1 - slashes] === "\\") slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

function skipWord(document, at) {
  while (at < document.length && !/[\s,\]}]/.test(document[at])) at += 1;
  return at;
}
