/**
 * The package as it is published: packed, laid into an empty project, type-checked there with the declarations
 * checked as well, built by vite and esbuild, and run in Chromium, where it must do what Node does.
 */

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as esbuild from 'esbuild';
import type { Browser } from 'playwright-core';
import * as vite from 'vite';
import * as vite7 from 'vite-7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ISOLATION, serve } from '../../examples/serve.mjs';
import { openArtifact } from '../../src/artifact/artifact.js';
import { perceptronArtifact } from '../../src/artifact/perceptron.js';
import { rebuildVerified } from '../../src/artifact/rebuild.js';
import { transformerOf } from '../../src/ternary/builders/transformer.js';
import { reference } from '../support/backends.js';
import { chromiumFault, launchChromium } from '../support/chromium.js';
import { because } from '../support/missing.js';
import { tinyTrainingSet } from '../support/tiny-data.js';
import { tinyConfig, tinyRun } from '../support/tiny-runs.js';
import { SMALL_SHAPE } from '../support/transformers.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const APP = fileURLToPath(new URL('../packed-app', import.meta.url));
const EXAMPLES = 50;
const run = promisify(execFile);

/** The project that the package is installed in. */
let project: string;

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'ternseed-package-'));
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
    cwd: ROOT,
    maxBuffer: 2 ** 26,
    shell: process.platform === 'win32',
  });
  const packed = JSON.parse(stdout) as readonly { filename: string }[] | Record<string, { filename: string }>;
  const [{ filename }] = Object.values(packed);
  await run('tar', ['-xzf', filename], { cwd: project });
  await cp(join(project, 'package'), join(project, 'node_modules/ternseed'), { recursive: true });
  const manifest = await readFile(join(project, 'package/package.json'), 'utf8');
  const { dependencies, optionalDependencies } = JSON.parse(manifest) as Record<string, object>;
  for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), '@types/node']) {
    const target = join(project, 'node_modules', name);
    await mkdir(dirname(target), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), target, 'junction');
  }
  await writeFile(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  await cp(APP, project, { recursive: true });
});
afterAll(() => project && rm(project, { recursive: true }));

describe('type-checked in an empty project, declarations included', () => {
  /** What the compiler has to say, line by line. */
  async function diagnostics(file: string, resolution: string, libraries: object): Promise<string[]> {
    const options = {
      ...{ strict: true, noEmit: true, skipLibCheck: false, target: 'es2022', moduleResolution: resolution },
      ...{ module: resolution === 'bundler' ? 'esnext' : resolution, ...libraries },
    };
    const config = join(project, `tsconfig-${resolution}.json`);
    await writeFile(config, JSON.stringify({ compilerOptions: options, files: [file] }));
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { stdout } = await run(process.execPath, [compiler, '-p', config], { cwd: project }).catch(
      (error: { stdout: string }) => error,
    );
    return stdout.split('\n').filter((line) => line.trim() !== '');
  }

  /** The libraries that say what a URL, a Response and WebAssembly are: one of the two is enough. */
  const HOSTS: [host: string, libraries: object][] = [
    ['a page', { lib: ['ES2022', 'DOM'], types: [] }],
    ['Node', { lib: ['ES2022'], types: ['node'] }],
  ];

  describe.each(HOSTS)('for %s', (_, libraries) => {
    it.each(['nodenext', 'bundler'])('under %s', async (resolution) => {
      expect(await diagnostics('use.ts', resolution, libraries)).toEqual([]);
    });
  });

  it('ternseed/backprop adds nothing to what TensorFlow.js’s own declarations say', async () => {
    const [, [, libraries]] = HOSTS;
    await writeFile(join(project, 'theirs.ts'), "export * from '@tensorflow/tfjs-core';");
    await writeFile(join(project, 'ours.ts'), "export * from 'ternseed/backprop';");
    const theirs = await diagnostics('theirs.ts', 'nodenext', libraries);
    expect(await diagnostics('ours.ts', 'nodenext', libraries)).toEqual(theirs);
  });
});

/** Builds a page of which `entry` is the script. */
type Bundle = (entry: string, out: string) => Promise<void>;

/** With a bundler that is vite, of which every warning is a fault. */
const byVite =
  (bundler: typeof vite | typeof vite7): Bundle =>
  async (entry, out) => {
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    await writeFile(join(project, 'index.html'), pageOf(entry));
    const config = { root: project, configFile: false, build: { outDir: out } } as const;
    const logger = { ...bundler.createLogger('silent'), warn, warnOnce: warn };
    await (bundler.build as typeof vite.build)({ ...config, customLogger: logger });
    expect(warnings).toEqual([]);
  };

const byEsbuild =
  (splitting: boolean): Bundle =>
  async (entry, out) => {
    const { warnings } = await esbuild.build({
      ...{ absWorkingDir: project, entryPoints: [entry], outdir: out, logLevel: 'silent' },
      ...{ bundle: true, minify: true, splitting, format: 'esm', platform: 'browser', target: 'es2022' },
    });
    expect(warnings).toEqual([]);
    await writeFile(join(out, 'index.html'), pageOf(entry));
  };

const pageOf = (entry: string) =>
  `<!doctype html><link rel="icon" href="data:,"><script type="module" src="./${entry}"></script>`;

const BUNDLERS: [name: string, bundle: Bundle][] = [
  [`vite ${vite.version}`, byVite(vite)],
  [`vite ${vite7.version}`, byVite(vite7)],
  ['esbuild in chunks', byEsbuild(true)],
  ['esbuild in one file', byEsbuild(false)],
];

describe.skipIf(chromiumFault)(`Chromium${because(chromiumFault)}`, () => {
  let browser: Browser;
  let data: string;
  /** What the pages must find on every backend. */
  const expected: Record<string, unknown> = {};

  beforeAll(async () => {
    data = join(project, 'data');
    const { bytes, hash } = await tinyRun({ artifact: 'pool' }, reference);
    const inputs = tinyTrainingSet.inputs.slice(0, EXAMPLES * tinyTrainingSet.width);
    const opened = perceptronArtifact(openArtifact(bytes));
    const placed = await reference.place(opened.network, { batch: EXAMPLES });
    await placed.writeWeights(await rebuildVerified(opened, reference));
    placed.load({ inputs, labels: new Uint8Array(EXAMPLES), length: 1 });
    const predictions = [...(await placed.evaluate()).predictions];
    expect(new Set(predictions).size).toBeGreaterThan(2); // or they would compare little
    const text = await reference.place(transformerOf(SMALL_SHAPE), { batch: 1 });
    const found = { predictions, logits: [...(await text.next(65))] };
    expected.artifact = found;
    expected.trainer = hash;
    await mkdir(data);
    const task = { shape: SMALL_SHAPE, config: tinyConfig };
    await writeFile(join(data, 'task.json'), JSON.stringify(task));
    await writeFile(join(data, 'pool.tern'), bytes);
    const pixels = inputs.map((input) => 2 * input); // bytes, of which an input is half
    await writeFile(join(data, 'pixels.bin'), pixels);
    await writeFile(join(data, 'training-inputs.bin'), tinyTrainingSet.inputs);
    await writeFile(join(data, 'training-labels.bin'), tinyTrainingSet.labels);
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());

  /** Opens a built page: what it found on each backend, or the error that it ended with. */
  async function open(out: string, headers: Record<string, string>, backends: readonly string[]) {
    const { url, close } = await serve([out, data], 0, headers);
    const page = await browser.newPage();
    try {
      const failed = new Promise<string>((resolve) =>
        page.once('pageerror', ({ message }) => resolve(message)),
      );
      await page.goto(`${url}?${backends.map((name) => `backend=${name}`).join('&')}`);
      const found = page.waitForFunction('globalThis.found', null, { timeout: 60_000 });
      return await Promise.race([failed, found.then((handle) => handle.jsonValue())]);
    } finally {
      await page.close();
      await close();
    }
  }

  describe.each(BUNDLERS)('built by %s', (name, bundle) => {
    const folder = (entry: string) => join(project, `${name.replace(/\W+/g, '-')}-${entry}`);

    /** Each page with threads and without; `auto` is what most pages open. */
    const PAGES: [entry: string, host: string, headers: Record<string, string>, backends: string[]][] = [
      ['artifact', 'that is isolated', ISOLATION, ['auto']],
      ['artifact', 'like any', {}, ['auto', 'wasm', 'reference', 'webgpu']],
      ['trainer', 'that is isolated', ISOLATION, ['auto']],
      ['trainer', 'like any', {}, ['auto', 'wasm', 'reference']],
    ];
    it.each(PAGES)('%s.js in a page %s does what Node does', async (entry, _, headers, backends) => {
      await bundle(`${entry}.js`, folder(entry));
      const found = Object.fromEntries(backends.map((backend) => [backend, expected[entry]]));
      expect(await open(folder(entry), headers, backends)).toEqual(found);
    });

    it('a page of ternseed/backprop says that it is for Node', async () => {
      await bundle('backprop.js', folder('backprop'));
      expect(await open(folder('backprop'), {}, [])).toMatch(
        /^"ternseed\/backprop" expected Node, got a browser: /,
      );
    });
  });
});
