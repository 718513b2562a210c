// The modules for browsers: each one file, minified, with the packages it needs inside and nothing of Node.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Files of dist/browser, and what each is made of. */
export const BROWSER_MODULES = {
  'ternseed.js': 'src/index.ts',
  'ternseed-artifact.js': 'src/artifact/index.ts',
};

/**
 * Makes a module for browsers.
 * @param name - a key of BROWSER_MODULES
 * @param external - paths of imports to leave out, with `*` for any part, to measure what they take
 * @returns the module's text
 */
export async function bundleForBrowsers(name, external = []) {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [BROWSER_MODULES[name]],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    // Browsers have no `process`: what is asked only where there is one, such as modules for Node, falls away.
    define: { process: 'undefined' },
    external,
    banner: {
      js: `/*! ternseed ${version}; with fflate, © Arjun Barrett, and seedrandom, © David Bau. All MIT licensed. */`,
    },
    write: false,
  });
  return outputFiles[0].text;
}
