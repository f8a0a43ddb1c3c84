// The store's config: its schema, and what the schema cannot say of it.

import { InvalidConfig, schema, splitUrl } from "@postern/sdk";

const TRANSFORMERS = ["upper-camel", "camel", "lower-snake", "tf-var", "dotnet-env", "lower-kebab"];
const FORMATS = ["json", "dotnet-json", "env", "yaml", "docker"];

/** Where the token's reference stands in the config. */
export const TOKEN = "/auth/secretRef/dopplerToken";

export const config = schema.object({
  auth: schema.object({ secretRef: schema.object({ dopplerToken: schema.secretKey() }) }),
  project: schema.optional(schema.string()),
  config: schema.optional(schema.string()),
  nameTransformer: schema.optional(schema.oneOf(TRANSFORMERS)),
  format: schema.optional(schema.oneOf(FORMATS)),
  baseUrl: schema.string({ default: "https://api.doppler.com" }),
});

/** What a config needs. */
export function examine({ config }) {
  const base = splitUrl(config.baseUrl);
  const problems = [];
  if (base === undefined || base.path !== "") {
    problems.push({ pointer: "/baseUrl", message: "must be http:// or https:// with a host and nothing else, such as https://api.doppler.com" });
  }
  if (config.format !== undefined && config.format !== "json") {
    problems.push({ pointer: "/format", message: `${config.format} is not supported; leave it out or say json` });
  }
  if (problems.length > 0) throw InvalidConfig.of(problems);
  return {
    references: [{ pointer: TOKEN, defaultKey: "dopplerToken" }],
    endpoints: [base.origin],
  };
}

/** For messages. */
export function place({ project, config }) {
  if (project === undefined && config === undefined) return "the token's own config";
  return `config ${config ?? "(the token's own)"} of project ${project ?? "(the token's own)"}`;
}
