// What plugin authors import. See the README of this package.

export { answer, defineEngine, defineProvider, failed, unchanged } from "./define.js";
export {
  Absent,
  Conflict,
  Denied,
  Failure,
  Internal,
  InvalidConfig,
  InvalidRequest,
  NotFound,
  RateLimited,
  Timeout,
  Unauthenticated,
  Unavailable,
  Unsupported,
} from "./failure.js";
export { bearer, escapePath, query, Response, splitUrl } from "./http.js";
export { members, property } from "./json.js";
export { dataTree, pickJson } from "./values.js";
export { decode, encode } from "./bytes.js";
export * as schema from "./schema.js";
