/** Options, details and fields: texts by name. */
export type Fields = Record<string, string | number | boolean | undefined>;

export interface FailureOptions {
  /** How long the backend asked us to wait. */
  retryAfterMs?: number;
  /** Facts for logs, such as the backend's request id. Never a value. */
  detail?: Fields;
}

/** Why something did not work. Throw one, or put one in the place of an answer. */
export class Failure extends Error {
  constructor(code: string, message: string, more?: FailureOptions);
  readonly code: string;
  readonly retryAfterMs: number | undefined;
  readonly detail: Fields;
}
/** The backend said with authority that this does not exist: the only failure that may lead to a deletion. */
export class Absent extends Failure { constructor(message: string, more?: FailureOptions); }
/** Anything else that is not there, such as a project or a route. */
export class NotFound extends Failure { constructor(message: string, more?: FailureOptions); }
/** The backend knows us and refuses. */
export class Denied extends Failure { constructor(message: string, more?: FailureOptions); }
/** The backend does not, or no longer, know us. */
export class Unauthenticated extends Failure { constructor(message: string, more?: FailureOptions); }
/** The store's config cannot work. Thrown in `examine` it is a problem of the field at `pointer`. */
export class InvalidConfig extends Failure {
  constructor(message: string, more?: FailureOptions & { pointer?: string; problems?: Problem[] });
  static of(problems: Problem[]): InvalidConfig;
  readonly problems: Problem[];
}
/** This request cannot work. */
export class InvalidRequest extends Failure { constructor(message: string, more?: FailureOptions); }
/** Somebody else wrote first. */
export class Conflict extends Failure { constructor(message: string, more?: FailureOptions); }
/** The backend asked to slow down. */
export class RateLimited extends Failure { constructor(message: string, more?: FailureOptions); }
/** The backend cannot answer now. */
export class Unavailable extends Failure { constructor(message: string, more?: FailureOptions); }
/** The backend did not answer in time. */
export class Timeout extends Failure { constructor(message: string, more?: FailureOptions); }
/** This plugin does not do that. */
export class Unsupported extends Failure { constructor(message: string, more?: FailureOptions); }
/** A fault of the plugin, or an answer of the backend that it does not understand. */
export class Internal extends Failure { constructor(message: string, more?: FailureOptions); }

/** What is wrong with a config, and where (JSON Pointer). */
export interface Problem {
  pointer: string;
  message: string;
}

/** A JSON Schema that carries the type of what it describes. */
export interface Schema<T> {
  readonly [keyword: string]: unknown;
  readonly "~type"?: T;
}
/** The type of a config: `ConfigOf<typeof config>`. */
export type ConfigOf<S> = S extends Schema<infer T> ? T : unknown;

/** `{ name, key, namespace }` in a store's config, which the host resolves. */
export interface SecretKey { name: string; key?: string; namespace?: string }
export interface ConfigMapKey { name: string; key: string; namespace?: string }
export interface CaProvider { type: "Secret" | "ConfigMap"; name: string; key?: string; namespace?: string }
export interface ServiceAccount { name: string; namespace?: string; audiences?: string[] }

/** JSON Schema, said once: it checks a config at the host, gives it its type here, and fills in defaults. */
export namespace schema {
  type Keywords = Record<string, unknown>;
  type Optional<T> = Schema<T> & { readonly "~optional": true };
  type ObjectOf<F> =
    { [K in keyof F as F[K] extends { "~optional": true } ? never : K]: ConfigOf<F[K]> } &
    { [K in keyof F as F[K] extends { "~optional": true } ? K : never]?: ConfigOf<F[K]> };
  function object<F extends Record<string, Schema<any>>>(fields: F, more?: Keywords): Schema<ObjectOf<F>>;
  function optional<S extends Schema<any>>(schema: S): Optional<ConfigOf<S>>;
  function string(more?: Keywords): Schema<string>;
  function integer(more?: Keywords): Schema<number>;
  function boolean(more?: Keywords): Schema<boolean>;
  function oneOf<const V extends readonly string[]>(values: V, more?: Keywords): Schema<V[number]>;
  function list<S extends Schema<any>>(items: S, more?: Keywords): Schema<ConfigOf<S>[]>;
  function secretKey(more?: Keywords): Schema<SecretKey>;
  function configMapKey(more?: Keywords): Schema<ConfigMapKey>;
  function caProvider(more?: Keywords): Schema<CaProvider>;
  function serviceAccount(more?: Keywords): Schema<ServiceAccount>;
}

/** Something the plugin wants to be allowed. */
export interface Ask {
  kind: "host" | "files" | "ambient-identity" | "api-server" | "metadata-address" | (string & {});
  /** What of that kind, such as a host pattern. */
  what: string;
  /** One line for the administrator. */
  why: string;
}

/** What a plugin says of itself. */
export interface Describe<C = any> {
  name: string;
  version: string;
  /** Keys under `spec.provider`; names for `template.engine`. */
  serves: string[];
  /** Made with `schema`, or any JSON Schema 2020-12. */
  config?: Schema<C>;
  asks?: Ask[];
  /** Objects that one `read` takes at most; 0 where one call reads the whole store. */
  batchSize?: number;
  /** One line for people. */
  summary: string;
  options?: Fields;
}

/** A reference in the store's config that the host has resolved. Printing one does not print its value. */
export class Credential {
  readonly pointer: string;
  readonly attributes: Record<string, string>;
  bytes(): Uint8Array;
  text(): string;
}

/** On whose behalf a call is made. */
export class Context<C = any> {
  /** The store's config, with the schema's defaults filled in. */
  readonly config: C;
  readonly credentials: Credential[];
  /** Set only where `examine` said `perNamespace`. */
  readonly namespace: string | undefined;
  readonly deadlineMs: number;
  /** `provider-key`: the key under `spec.provider` by which the store names this plugin. */
  readonly options: Record<string, string>;
  credential(pointer: string): Credential;
  optionalCredential(pointer: string): Credential | undefined;
  session(): Uint8Array | undefined;
}

/** The pointer of a reference in the config, or bytes in PEM. */
export type Material = string | Uint8Array;

/** A place that a config names. A text alone is its origin. */
export type Endpoint = string | {
  origin: string;
  ca?: Material;
  clientCertificate?: Material;
  clientKey?: Material;
  serverName?: string;
  options?: Fields;
};

/** A reference that a config uses. A text alone is its pointer. */
export type Reference = string | {
  pointer: string;
  /** The key to take where the reference names none. */
  defaultKey?: string;
  audiences?: string[];
  expiresInS?: number;
};

/** What a config needs; what is not named stays closed. */
export interface Needs {
  perNamespace?: boolean;
  references?: Reference[];
  endpoints?: Endpoint[];
  options?: Fields;
}

export interface HttpRequest {
  /** `GET` where it is missing. */
  method?: string;
  url: string;
  headers?: Record<string, string | undefined> | [string, string][];
  body?: string | Uint8Array;
}

export class Response {
  constructor(parts: { status: number; headers: [string, string][]; body: Uint8Array | number[] });
  readonly status: number;
  readonly headers: [string, string][];
  readonly body: Uint8Array;
  readonly ok: boolean;
  readonly retryAfterMs: number | undefined;
  header(name: string): string | undefined;
  text(): string;
  /** `doing` completes "cannot …" in the message of what it throws. */
  json(doing: string): any;
  failure(doing: string): Failure | undefined;
  orThrow(doing: string): this;
}

/** The host's doors. All of them are synchronous: while a plugin waits, no thread waits with it. */
export interface Host {
  http: {
    /** A status of 400 or more is a response; what did not happen at all is thrown as a Failure. */
    send(request: HttpRequest): Response;
    /** Many at once; answers in order, each a Response or a Failure. */
    sendAll(requests: HttpRequest[]): (Response | Failure)[];
  };
  log: Record<"error" | "warn" | "info" | "debug", (message: string, fields?: Fields) => void>;
  files: {
    read(root: string, path: string): Uint8Array;
    list(root: string, path?: string): string[];
  };
  templating: {
    render(jobs: { templates: { name: string; source: string }[]; data: Datum[] }[], options?: Fields): (Uint8Array | Failure)[][];
  };
  nowMs(): number;
  randomBytes(count: number): Uint8Array;
}

/** What is taken from an object. */
export interface Pick {
  property: string | undefined;
  /** Members by name instead of bytes. */
  members: boolean;
}

/** One object to read. */
export interface Request {
  key: string;
  version: string | undefined;
  /** Labels, tags or annotations instead of the value. */
  metadata: boolean;
  picks: Pick[];
  /** The tag seen last. */
  known: string | undefined;
  options: Record<string, string>;
}

export type Value = string | Uint8Array;
/** What came of one pick: a value, members, or why not. */
export type Part = Value | Map<string, Value> | Record<string, Value> | Failure;
/** What came of one request. */
export type Outcome = { parts: Part[]; tag?: string } | { failure: Failure; tag?: string } | { unchanged: true; tag?: string } | Failure;

export interface Session {
  token: Value;
  expiresInMs?: number;
}

export interface Found {
  key: string;
  name?: string;
  version?: string;
  value?: Value;
  tag?: string;
}

export interface Provider<C = any> {
  describe: Describe<C>;
  /** What the schema cannot say of a config: what it needs, or InvalidConfig thrown. Pure. */
  examine(context: Context<C>): Needs;
  /** Can this store be used? Throws why not. */
  probe(context: Context<C>, host: Host): void;
  /** One outcome a request, in order. */
  read(context: Context<C>, requests: Request[], host: Host): Outcome[];
  login?: {
    open(context: Context<C>, host: Host): Session;
    renew(context: Context<C>, host: Host): Session;
    close(context: Context<C>, host: Host): void;
  };
  find?(context: Context<C>, query: { path?: string; tags: Record<string, string>; name?: string }, after: string | undefined, host: Host): {
    found: Found[];
    next?: string;
    namesApplied?: boolean;
  };
}

/** A value at a path of names. */
export interface Datum { path: string[]; value: Value }

export interface Engine {
  describe: Describe;
  /** One template over its data. Throws a Failure whose message names line and column, never data. */
  render(template: { name: string; source: string }, data: Datum[], options: Record<string, string>, host: EngineHost): Value;
  check?(template: { name: string; source: string }, options: Record<string, string>): { line?: number; column?: number; message: string }[];
}
/** The doors of a template engine. */
export interface EngineHost { nowMs(): number; randomBytes(count: number): Uint8Array }

export function defineProvider<C>(provider: Provider<C>): Provider<C>;
export function defineEngine(engine: Engine): Engine;
/** An object whose picks are taken one by one; what `take` throws is that pick's failure alone. */
export function answer(request: Request, tag: string | undefined, take: (pick: Pick) => Part): Outcome;
export function unchanged(tag?: string): Outcome;
/** An object that could not be read, where the backend gave a tag all the same. */
export function failed(failure: Failure, tag?: string): Outcome;
/** The header `authorization: Bearer TOKEN`. */
export function bearer(credential: Credential): { authorization: string };
/** Percent-encodes a path; slashes stay. */
export function escapePath(path: string): string;
/** `?a=1&b=2`, encoded, in order, without what is undefined. */
export function query(parameters: Record<string, string | undefined>): string;
/** Origin and path of an http or https URL without user part, query and fragment. */
export function splitUrl(url: string): { origin: string; path: string } | undefined;
/** The value at a dotted path into a JSON document, by its own text. */
export function property(document: string, path: string): string | undefined;
/** The members of a JSON object, by their own text. */
export function members(document: string): Map<string, string> | undefined;
/** What a pick takes from an object that is a JSON document. */
export function pickJson(object: Value, pick: Pick, what: string): Value | Map<string, string>;
/** Data as an object of objects and texts. */
export function dataTree(data: Datum[]): any;
export function encode(text: string): Uint8Array;
/** Undefined where the bytes are no UTF-8. */
export function decode(bytes: Uint8Array): string | undefined;
