// A provider: Postern asks it for objects, it asks a backend. This one reads GET {url}/{key}; change what differs at yours.
//
// Every call starts afresh: what one call puts into a variable, the next does not see. Nothing here waits, repeats or
// caches; say what went wrong by throwing a failure (Absent, Denied, RateLimited …), and Postern decides what to do.

import { Absent, answer, bearer, defineProvider, escapePath, failed, InvalidConfig, pickJson, schema, splitUrl, unchanged, Unsupported } from "@postern/sdk";

const TOKEN = "/auth/secretRef/token";

export default defineProvider({
  describe: {
    name: "template-provider",
    version: "0.1.0",
    // The key under spec.provider of a store.
    serves: ["templateProvider"],
    summary: "reads objects over HTTP, one a key",
    // So many objects come in one call of `read` at most. 0 would mean: any number, for a backend that gives all at once.
    batchSize: 20,
    // What an administrator has to allow. A plugin reaches what it asks for here, a grant allows and a store names.
    asks: [{ kind: "host", what: "*", why: "the server that a store names" }],
    // What may stand under spec.provider.templateProvider. Postern refuses any other config before this plugin sees it.
    config: schema.object({
      url: schema.string({ description: "where the objects lie, such as https://secrets.example.com/v1" }),
      auth: schema.optional(schema.object({
        secretRef: schema.object({ token: schema.secretKey() }),
      })),
    }),
  },

  // What this config needs: the Secrets that Postern reads for us, and the places that we talk to. No network here.
  examine({ config }) {
    const place = splitUrl(config.url);
    if (place === undefined) {
      throw new InvalidConfig("must be an http or https URL without user, query and fragment", { pointer: "/url" });
    }
    return {
      references: config.auth === undefined ? [] : [TOKEN],
      endpoints: [place.origin],
    };
  },

  // Can this store be used? Cheap; throw what is wrong. An answer of 404 shows a server that lets us in.
  probe(context, host) {
    const response = host.http.send({ url: base(context), headers: headers(context) });
    if (response.status !== 404) response.orThrow("reach the server");
  },

  // One outcome a request, in the same order. One object's failure is no other's.
  read(context, requests, host) {
    const responses = host.http.sendAll(requests.map((request) => ({
      url: base(context) + escapePath(request.key),
      // What Postern saw last: an answer of 304 costs the backend nothing.
      headers: { ...headers(context), "if-none-match": request.known },
    })));
    host.log.debug("read", { objects: requests.length });
    return requests.map((request, i) => outcome(request, responses[i]));
  },
});

function outcome(request, response) {
  const what = `object ${JSON.stringify(request.key)}`;
  if (request.metadata || request.version !== undefined) {
    return new Unsupported(`cannot read ${what}: this server has no versions and no metadata; do not ask for them`);
  }
  // The host's own failure, such as a timeout or a door that no grant opens.
  if (response instanceof Error) return response;
  const tag = response.header("etag");
  if (response.status === 304) return unchanged(tag ?? request.known);
  // Absent may lead to a deletion: only for an answer that says "this object does not exist".
  if (response.status === 404) return failed(new Absent(`there is no ${what}`), tag);
  const failure = response.failure(`read ${what}`);
  if (failure !== undefined) return failure;
  // The object as it is, a property of a JSON object, or all its members.
  return answer(request, tag, (pick) => pickJson(response.body, pick, what));
}

function base({ config }) {
  return config.url.endsWith("/") ? config.url : `${config.url}/`;
}

function headers(context) {
  const token = context.optionalCredential(TOKEN);
  return token === undefined ? {} : bearer(token);
}
