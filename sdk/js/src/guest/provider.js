// The glue of a provider's component. `postern plugin build` imports it first, before any module of the plugin.

import entropy from "postern:plugin/entropy@0.1.0";
import files from "postern:plugin/files@0.1.0";
import http from "postern:plugin/http@0.1.0";
import log from "postern:plugin/log@0.1.0";
import templating from "postern:plugin/templating@0.1.0";
import { providerExports } from "../glue.js";
import { runs } from "./globals.js";

// Libraries that warn must not break for want of a console. An object shows its kind only: it may hold a secret.
const line = (level) => (...parts) => log.log(level, parts.map(String).join(" "), []);
globalThis.console = { error: line("error"), warn: line("warn"), info: line("info"), log: line("info"), debug: line("debug"), trace: line("debug") };

/** The exports of a component, whose optional interfaces `postern.toml` names. */
export function component(plugin, interfaces) {
  for (const name of ["login", "find"]) {
    if (interfaces.includes(name) && plugin?.[name] === undefined) {
      throw new TypeError(`postern.toml says that the plugin has ${name}, but it has none`);
    }
    if (!interfaces.includes(name) && plugin?.[name] !== undefined) {
      throw new TypeError(`the plugin has ${name}: add it to interfaces in postern.toml, or the host will not see it`);
    }
  }
  return runs(providerExports(plugin, { http, log, entropy, files, templating }));
}
