// Requests and responses, and what a status usually means. Nothing here speaks to the network; `host.http` does.

import { bytesOf, decodeLossily, decode } from "./bytes.js";
import { Denied, Internal, NotFound, RateLimited, Unauthenticated, Unavailable } from "./failure.js";

/** What came back. */
export class Response {
  constructor({ status, headers, body }) {
    this.status = status;
    this.headers = headers;
    this.body = body instanceof Uint8Array ? body : new Uint8Array(body);
  }

  /** Whether the status is 2xx. */
  get ok() {
    return this.status >= 200 && this.status < 300;
  }

  /** The first value of a header, in any case of letters, or undefined. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([own]) => own.toLowerCase() === wanted)?.[1];
  }

  /** The body as text, with U+FFFD in the place of what is no UTF-8. */
  text() {
    return decodeLossily(this.body);
  }

  /** The body as JSON. What it throws names what was tried, never what the body holds. */
  json(doing) {
    try {
      return JSON.parse(decode(this.body));
    } catch {
      throw new Internal(`cannot ${doing}: the backend answered status ${this.status} with what is no JSON`);
    }
  }

  /** How long the backend asked us to wait, where it said so in seconds. A date would need a clock and is not read. */
  get retryAfterMs() {
    const text = this.header("retry-after")?.trim() ?? "";
    const seconds = /^\d{1,9}$/.test(text) ? Number(text) : undefined;
    return seconds === undefined ? undefined : seconds * 1000;
  }

  /**
   * What a status that is no success usually means; undefined for 2xx. The sentence is `cannot DO: …`, so that what was
   * tried reads like "read the config dev". Nothing of the body gets into it.
   */
  failure(doing) {
    const detail = { status: String(this.status) };
    if (this.ok) return undefined;
    if (this.status === 401) return new Unauthenticated(`cannot ${doing}: the backend does not accept the credentials; check or renew them`, { detail });
    if (this.status === 403) return new Denied(`cannot ${doing}: the backend refuses; give these credentials the right to it`, { detail });
    if (this.status === 404) return new NotFound(`cannot ${doing}: the backend knows no such thing; check the store's settings`, { detail });
    if (this.status === 429) return new RateLimited(`cannot ${doing} yet: the backend asks to slow down`, { retryAfterMs: this.retryAfterMs, detail });
    if (this.status >= 500) return new Unavailable(`cannot ${doing} now: the backend answered status ${this.status}`, { detail });
    return new Internal(`cannot ${doing}: the backend answered status ${this.status}, which this plugin does not expect`, { detail });
  }

  /** The response itself, or its failure thrown. */
  orThrow(doing) {
    const failure = this.failure(doing);
    if (failure !== undefined) throw failure;
    return this;
  }
}

/** The contract's form of a request. */
export function toContract({ method = "GET", url, headers = {}, body }) {
  const lines = Array.isArray(headers) ? headers : Object.entries(headers);
  return {
    method,
    url,
    headers: lines.filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]),
    body: body === undefined ? null : bytesOf(body, "the body of a request"),
    options: [],
  };
}

/** `authorization: Bearer TOKEN`. Space around the token is cut: a Secret often ends in a line break. */
export function bearer(credential) {
  return { authorization: `Bearer ${credential.text().trim()}` };
}

/** A path, percent-encoded; slashes stay. */
export function escapePath(path) {
  return path.split("/").map(escapePart).join("/");
}

/** `?a=1&b=2`, percent-encoded and in order, without those that are undefined; empty where nothing is left. */
export function query(parameters) {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return pairs.length === 0 ? "" : `?${pairs.map(([name, value]) => `${escapePart(name)}=${escapePart(String(value))}`).join("&")}`;
}

/** Lone surrogates, which cannot be encoded, become U+FFFD. Unreserved are RFC 3986's letters, digits and `-._~`. */
function escapePart(text) {
  const encoded = encodeURIComponent(text.toWellFormed());
  return encoded.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

const ORIGIN = /^(https?):\/\/([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?(\/[^?#\s]*)?$/i;

/** Origin and path of an http or https URL without user part, query and fragment; undefined where it is none. */
export function splitUrl(url) {
  const match = ORIGIN.exec(url);
  if (match === null) return undefined;
  const [, scheme, host, port = "", path = ""] = match;
  return { origin: `${scheme}://${host}${port}`, path };
}
