// Bundles a plugin into one file: `node bundle.mjs ESBUILD ENTRY OUTPUT`, run in the plugin's folder.

import { isBuiltin } from "node:module";
import { pathToFileURL } from "node:url";

const [esbuild, entry, outfile] = process.argv.slice(2);
const { build } = await import(pathToFileURL(esbuild));

const noNode = {
  name: "no-node",
  setup({ onResolve }) {
    onResolve({ filter: /.*/ }, ({ path, resolveDir, kind }) => {
      if (kind === "entry-point" || !isBuiltin(path) || resolveDir === "") return undefined;
      return { errors: [{ text: `a component has no module ${path}: it reaches network and files through the host's doors, and nothing else of the machine` }] };
    });
  },
};

try {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    external: ["postern:plugin/*"],
    legalComments: "none",
    // A class's name is a failure's name, also in a bundle that renames it.
    keepNames: true,
    logLevel: "warning",
    plugins: [noNode],
  });
} catch {
  // esbuild has said what is wrong, and where.
  process.exitCode = 1;
}
