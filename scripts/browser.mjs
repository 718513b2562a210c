// The modules for browsers: minified, with the packages they need inside and nothing of Node. A page imports one
// file; what not every page needs (a backend, a set of kernels) is in chunks beside it, loaded when it is asked for.

import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { minify } from 'terser';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Modules of dist/browser, and what each is made of. */
export const BROWSER_MODULES = {
  'ternseed.js': 'src/index.ts',
  'ternseed-artifact.js': 'src/artifact/index.ts',
};

/**
 * Makes a module for browsers.
 * @param name - a key of BROWSER_MODULES
 * @returns the files it consists of, their names relative to dist/browser; the first is the module
 */
export async function bundleForBrowsers(name) {
  const entry = BROWSER_MODULES[name];
  const options = {
    absWorkingDir: root,
    entryPoints: { [name.replace(/\.js$/, '')]: entry },
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    outdir: 'dist/browser',
    minify: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    // Browsers have no `process`: what is asked only where there is one, such as modules for Node, falls away.
    define: { process: 'undefined' },
    logOverride: { 'ignored-bare-import': 'silent' }, // of loadedAfter
    metafile: true,
    write: false,
  };
  const { metafile } = await build(options);
  const { outputFiles } = await build({ ...options, plugins: [loadedAfter(entry, lateModules(metafile))] });
  const files = await Promise.all(
    outputFiles.map(async ({ path, text }) => ({
      name: relative(join(root, 'dist/browser'), path).replaceAll('\\', '/'),
      text: await minified(text),
    })),
  );
  const [module, ...chunks] = files.sort((a, b) => Number(b.name === name) - Number(a.name === name));
  const notice = `/*! ternseed ${version}; with fflate, © Arjun Barrett, and noble-hashes, © Paul Miller. All MIT licensed. */\n`;
  return [{ name, text: notice + module.text }, ...chunks];
}

/** A module that esbuild has minified, smaller by another twenty-fifth once it is gzipped. */
async function minified(text) {
  const { code } = await minify(text, { module: true, ecma: 2020, compress: { passes: 3 } });
  return code;
}

/** What bundlers for browsers take for `ternseed/backprop`. */
export const BACKPROP_REFUSAL = 'ternseed-backprop.js';

/**
 * Makes a module that has every name of `ternseed/backprop`, so that a page which imports some can be built, and that
 * refuses every use of them: the trainer's threads and backends are Node's.
 */
export async function refuseBackprop() {
  const { metafile } = await build({
    ...{ absWorkingDir: root, entryPoints: ['src/backprop/index.ts'], outdir: 'dist', bundle: true },
    ...{ format: 'esm', platform: 'node', packages: 'external', metafile: true, write: false },
  });
  const names = Object.values(metafile.outputs).flatMap((output) => output.exports);
  const message =
    '"ternseed/backprop" expected Node, got a browser: train by backprop in Node; "ternseed" has the noise-step trainer for pages';
  return [
    `function refuse() { throw Object.assign(new Error(${JSON.stringify(message)}), { code: 'BACKEND' }); }`,
    'const refusal = new Proxy(refuse, { get: refuse, construct: refuse });',
    `export { ${names.map((name) => `refusal as ${name}`).join(', ')} };`,
    '',
  ].join('\n');
}

/** Modules that `import(…)` loads; those that import nothing share nothing. */
function lateModules({ inputs }) {
  const imports = Object.values(inputs).flatMap((input) => input.imports);
  const late = imports.filter(
    ({ kind, path }) => kind === 'dynamic-import' && inputs[path]?.imports.length > 0,
  );
  return new Set(late.map(({ path }) => path));
}

/**
 * Tells esbuild that the entry is there before what is loaded late. It would else make a chunk of every set of
 * modules that different chunks share, a dozen for the start of a page, which compress worse than one.
 */
function loadedAfter(entry, late) {
  return {
    name: 'loaded-after',
    setup(bundler) {
      bundler.onLoad({ filter: /\.ts$/ }, async ({ path }) => {
        if (!late.has(relative(root, path).replaceAll('\\', '/'))) return undefined;
        const source = await readFile(path, 'utf8');
        return { contents: `${source}\nimport ${JSON.stringify(join(root, entry))};`, loader: 'ts' };
      });
    },
  };
}
