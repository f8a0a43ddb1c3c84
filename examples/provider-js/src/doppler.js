// Doppler's requests and what its answers mean. Pure but for the host's door.

import { bearer, Denied, Internal, NotFound, query, RateLimited, Unauthenticated, Unavailable } from "@postern/sdk";
import { place, TOKEN } from "./config.js";

/** The whole config: its secrets by name and its tag, or undefined where the known tag still holds. */
export function download(context, known, host) {
  const { project, config, nameTransformer, baseUrl } = context.config;
  const parameters = query({ format: "json", project, config, name_transformer: nameTransformer });
  const response = host.http.send({
    url: `${baseUrl}/v3/configs/config/secrets/download${parameters}`,
    headers: { ...headers(context), "if-none-match": known },
  });
  const tag = response.header("etag");
  const doing = `read ${place(context.config)} at Doppler`;
  if (response.status === 304) return { tag, status: 304 };
  check(response, doing);
  return { secrets: secretsOf(response.json(doing), doing), tag, status: response.status };
}

/** Asks Doppler who we are. */
export function me(context, host) {
  const response = host.http.send({ url: `${context.config.baseUrl}/v3/me`, headers: headers(context) });
  check(response, "ask Doppler whose token this is");
}

function headers(context) {
  return { accept: "application/json", ...bearer(context.credential(TOKEN)) };
}

function secretsOf(body, doing) {
  const is = typeof body === "object" && body !== null && !Array.isArray(body);
  if (!is || Object.values(body).some((value) => typeof value !== "string")) {
    throw new Internal(`cannot ${doing}: the answer is no JSON object of texts; check baseUrl`);
  }
  return new Map(Object.entries(body));
}

function check(response, doing) {
  const { ok, status, retryAfterMs } = response;
  if (ok) return;
  const detail = { status };
  switch (status) {
    case 401:
      throw new Unauthenticated(`cannot ${doing}: the token is not accepted; put a valid one into the Secret that the store names`, { detail });
    case 403:
      throw new Denied(`cannot ${doing}: the token may not; give it access, or name a config that it may read`, { detail });
    case 404:
      throw new NotFound(`cannot ${doing}: there is none; check project and config of the store`, { detail });
    case 429:
      throw new RateLimited(`cannot ${doing} yet: Doppler asks to slow down`, { retryAfterMs, detail });
    default:
      if (status >= 500) throw new Unavailable(`cannot ${doing} now: Doppler answered status ${status}`, { detail });
      throw new Internal(`cannot ${doing}: Doppler answered status ${status}, which this plugin does not expect`, { detail });
  }
}
