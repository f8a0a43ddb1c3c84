// Why something did not work: one class a code of the contract, so that no code is misspelt. Throw one, or put one in the
// place of an answer. Messages are for people: what was tried, on what, and what to do; never a value, never a credential.

/** What all of them are. */
export class Failure extends Error {
  constructor(code, message, { retryAfterMs, detail } = {}) {
    super(message);
    this.name = new.target.name;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
    this.detail = { ...detail };
  }

  /** A failure of the contract's form, such as the host's, as one of the classes below. */
  static from({ code, message, retryAfterMs, detail }) {
    const more = { retryAfterMs: retryAfterMs ?? undefined, detail: Object.fromEntries(detail ?? []) };
    const known = CLASSES.get(code);
    return known === undefined ? new Failure(code, message, more) : new known(message, more);
  }
}

/** The backend said with authority that this does not exist: the only code that may lead to a deletion. */
export class Absent extends Failure {
  constructor(message, more) { super("absent", message, more); }
}

/** Anything else that is not there, such as a project or a route. */
export class NotFound extends Failure {
  constructor(message, more) { super("not-found", message, more); }
}

/** The backend knows us and refuses. */
export class Denied extends Failure {
  constructor(message, more) { super("denied", message, more); }
}

/** The backend does not, or no longer, know us. */
export class Unauthenticated extends Failure {
  constructor(message, more) { super("unauthenticated", message, more); }
}

/** The store's config cannot work. Thrown in `examine` it is a problem of the field at `pointer`, or several. */
export class InvalidConfig extends Failure {
  constructor(message, { pointer = "", problems, ...more } = {}) {
    const all = problems ?? [{ pointer, message }];
    super("invalid-config", all.map((one) => (one.pointer === "" ? one.message : `${one.pointer}: ${one.message}`)).join("; "), more);
    this.problems = all;
  }

  /** Several problems at once. */
  static of(problems) {
    return new InvalidConfig("", { problems });
  }
}

/** This request cannot work. */
export class InvalidRequest extends Failure {
  constructor(message, more) { super("invalid-request", message, more); }
}

/** Somebody else wrote first. */
export class Conflict extends Failure {
  constructor(message, more) { super("conflict", message, more); }
}

/** The backend asked to slow down; `retryAfterMs` says for how long, where it said so. */
export class RateLimited extends Failure {
  constructor(message, more) { super("rate-limited", message, more); }
}

/** The backend cannot answer now. */
export class Unavailable extends Failure {
  constructor(message, more) { super("unavailable", message, more); }
}

/** The backend did not answer in time. */
export class Timeout extends Failure {
  constructor(message, more) { super("timeout", message, more); }
}

/** This plugin does not do that. */
export class Unsupported extends Failure {
  constructor(message, more) { super("unsupported", message, more); }
}

/** A fault of the plugin, or an answer of the backend that it does not understand. */
export class Internal extends Failure {
  constructor(message, more) { super("internal", message, more); }
}

const CLASSES = new Map([
  ["absent", Absent],
  ["not-found", NotFound],
  ["denied", Denied],
  ["unauthenticated", Unauthenticated],
  ["invalid-config", InvalidConfig],
  ["invalid-request", InvalidRequest],
  ["conflict", Conflict],
  ["rate-limited", RateLimited],
  ["unavailable", Unavailable],
  ["timeout", Timeout],
  ["unsupported", Unsupported],
  ["internal", Internal],
]);
