// The provider `doppler`: one request reads a whole config, whatever is asked of it.

import { Absent, answer, defineProvider, failed, pickJson, unchanged, Unsupported } from "@postern/sdk";
import { config, examine, place } from "./config.js";
import { download, me } from "./doppler.js";

export default defineProvider({
  describe: {
    name: "doppler-js",
    version: "0.1.0",
    serves: ["doppler"],
    summary: "reads the secrets of a Doppler config",
    batchSize: 0,
    asks: [{ kind: "host", what: "*", why: "the store's baseUrl, by default https://api.doppler.com" }],
    config,
  },

  examine,

  probe(context, host) {
    me(context, host);
  },

  read(context, requests, host) {
    if (requests.length === 0) return [];
    const { secrets, tag, status } = download(context, knownOfAll(requests), host);
    host.log.debug("read", { status, objects: requests.length });
    const where = place(context.config);
    return requests.map((request) => {
      if (request.metadata || request.version !== undefined) {
        const what = JSON.stringify(request.key);
        return failed(new Unsupported(`cannot read ${what}: Doppler's download has no versions and no metadata; do not ask for them`), tag);
      }
      if (secrets === undefined) return unchanged(tag ?? request.known);
      return one(request, secrets, tag, where);
    });
  },
});

function one(request, secrets, tag, where) {
  const value = secrets.get(request.key);
  const what = `secret ${JSON.stringify(request.key)} of ${where}`;
  if (value === undefined) return failed(new Absent(`there is no ${what}`), tag);
  return answer(request, tag, (pick) => pickJson(value, pick, what));
}

/** The tag that all have seen. One that has not needs the whole config. */
function knownOfAll(requests) {
  const [{ known }] = requests;
  return requests.every((request) => request.known === known) ? known : undefined;
}
