// What a pick takes from an object, where properties and members are those of a JSON document.

import { bytesOf, decode } from "./bytes.js";
import { Absent, InvalidRequest } from "./failure.js";
import { members, property } from "./json.js";

/**
 * Without a property the object as it is; with one, what is at that dotted path in it; as members, those of the JSON object
 * that is there. What it throws names `what`, such as "the key DB of demo/dev".
 */
export function pickJson(object, pick, what) {
  if (pick.property === undefined && !pick.members) return object;
  const text = typeof object === "string" ? object : decode(bytesOf(object, "an object"));
  const place = pick.property === undefined ? what : `property ${JSON.stringify(pick.property)} of ${what}`;
  const found = pick.property === undefined || text === undefined ? text : property(text, pick.property);
  if (found === undefined && pick.property !== undefined) throw new Absent(`there is no ${place}`);
  if (!pick.members) return found;
  const all = found === undefined ? undefined : members(found);
  if (all === undefined) throw new InvalidRequest(`${place} is no JSON object, so it has no members to extract`);
  return all;
}

/** A datum list of the contract as an object of objects and texts, for engines that want one. */
export function dataTree(data) {
  const root = Object.create(null);
  for (const { path, value } of data) {
    let node = root;
    for (const name of path.slice(0, -1)) node = node[name] ??= Object.create(null);
    node[path.at(-1)] = decode(new Uint8Array(value)) ?? new Uint8Array(value);
  }
  return root;
}
