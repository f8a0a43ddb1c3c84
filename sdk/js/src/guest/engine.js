// The glue of a template engine's component. `postern plugin build` imports it first, before any module of the plugin.

import entropy from "postern:plugin/entropy@0.1.0";
import { engineExports } from "../glue.js";
import { runs } from "./globals.js";

/** The exports of a component. */
export function component(plugin) {
  return runs(engineExports(plugin, { entropy }));
}
