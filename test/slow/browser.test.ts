/**
 * The browser build in headless Chromium: what a page rebuilds, classifies and trains must be
 * what Node does, bit for bit, with threads in a page that is cross-origin isolated and without.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import type { Browser, Page, Response } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ISOLATION, serve } from '../../examples/serve.mjs';
import { BROWSER_MODULES, bundleForBrowsers } from '../../scripts/browser.mjs';
import * as Ternseed from '../../src/index.js';
import { openArtifact } from '../../src/artifact/artifact.js';
import { perceptronArtifact } from '../../src/artifact/perceptron.js';
import { rebuildVerified } from '../../src/artifact/rebuild.js';
import { openBackend } from '../../src/backend/open.js';
import { loadMnist } from '../../src/data/dataset.js';
import type { NoiseStepConfig } from '../../src/perturb/config.js';
import { PRESETS } from '../../src/perturb/presets.js';
import { chromiumFault, launchChromium } from '../support/chromium.js';
import { because } from '../support/missing.js';
import { trainedRun } from '../support/tiny-runs.js';
import { SMALL_SHAPE } from '../support/transformers.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const DIGITS = 100;
const EXAMPLES = 2_000;

const config: NoiseStepConfig = {
  ...PRESETS.small,
  steps: 12,
  batch: 64,
  probes: 2,
  pool: 4096,
  seed: 'browser',
};
const kinds = ['pool', 'log', 'packed'] as const;

/** What pages have in their global scope: the two modules. */
declare const ternseed: typeof Ternseed;
declare const artifactOnly: Pick<
  typeof Ternseed,
  'openUrl' | 'openBackend' | 'perceptronArtifact' | 'rebuildVerified' | 'transformerOf'
>;
const PAGE = `<!doctype html><link rel="icon" href="data:,"><script type="module">
  import * as ternseed from '/dist/browser/ternseed.js';
  import * as artifactOnly from '/dist/browser/ternseed-artifact.js';
  Object.assign(globalThis, { ternseed, artifactOnly });
</script>`;

/** A page that loads artifacts, and no more. */
const ARTIFACT_PAGE = PAGE.replace(/^.*ternseed\.js.*\n/m, '').replace('ternseed, ', '');

describe('a module for browsers', () => {
  it.each(Object.keys(BROWSER_MODULES) as (keyof typeof BROWSER_MODULES)[])(
    '%s has nothing of Node',
    async (name) => {
      for (const { text } of await bundleForBrowsers(name)) {
        expect(text).not.toMatch(/node:|worker_threads|\brequire\(|(?<!\.)\bprocess\b(?!\()/);
      }
    },
  );

  it.each<[specifier: string, name: keyof typeof BROWSER_MODULES]>([
    ['ternseed', 'ternseed.js'],
    ['ternseed/artifact', 'ternseed-artifact.js'],
  ])('is what bundlers take for %s, with its chunks and nothing else', async (specifier, name) => {
    const { metafile } = await build({
      stdin: { contents: `export * from '${specifier}'`, resolveDir: ROOT },
      ...{
        absWorkingDir: ROOT,
        bundle: true,
        format: 'esm',
        platform: 'browser',
        write: false,
        metafile: true,
        logLevel: 'error', // our own package is not in node_modules, where notes on it would be of no concern
      },
    });
    const files = (await bundleForBrowsers(name)).map((file) => `dist/browser/${file.name}`);
    expect(Object.keys(metafile.inputs).sort()).toEqual([...files, '<stdin>'].sort());
  });
});

describe('the files of a module for browsers', () => {
  it.each(Object.keys(BROWSER_MODULES) as (keyof typeof BROWSER_MODULES)[])(
    'of %s never wait for each other: no file imports the module, and no chunk only re-exports',
    async (name) => {
      const [module, ...chunks] = await bundleForBrowsers(name);
      expect(chunks.length).toBeGreaterThan(5);
      for (const { name: chunk, text } of chunks) {
        expect(text, chunk).not.toContain(`/${name}"`);
        const own = text.replace(/import(\{[^}]*\}from)?"[^"]*";|export\{[^}]*\};?/g, '').trim();
        if (module.text.includes(chunk)) continue; // what the module itself consists of
        expect(own, `${chunk} only re-exports: bundlers fold it into a page's entry`).not.toBe('');
      }
    },
  );
});

describe.skipIf(chromiumFault)(`Chromium${because(chromiumFault)}`, () => {
  let browser: Browser;
  let folder: string;
  const servers: Record<string, Awaited<ReturnType<typeof serve>>> = {};
  /** What Node makes of the same things. */
  const node = { predictions: {} as Record<string, number[]>, hash: '' };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-browser-'));
    const { train, test } = await loadMnist();
    const inputs = train.inputs.subarray(0, EXAMPLES * train.width);
    const data = { ...train, inputs, labels: train.labels.subarray(0, EXAMPLES), count: EXAMPLES };
    const backend = await openBackend('wasm', 2);
    for (const artifact of kinds) {
      const { bytes, hash } = await trainedRun({ ...config, artifact }, data, backend);
      await writeFile(join(folder, `${artifact}.tern`), bytes);
      if (artifact === 'pool') node.hash = hash;
      const opened = perceptronArtifact(openArtifact(bytes));
      const placed = await backend.place(opened.network, { batch: DIGITS });
      await placed.writeWeights(await rebuildVerified(opened, backend));
      placed.load({
        inputs: test.inputs.subarray(0, DIGITS * test.width),
        labels: test.labels.subarray(0, DIGITS),
        length: 1,
      });
      node.predictions[artifact] = [...(await placed.evaluate()).predictions];
      expect(new Set(node.predictions[artifact]).size).toBeGreaterThan(5); // or they would compare little
    }
    await backend.close();
    await writeFile(join(folder, 'index.html'), PAGE);
    await writeFile(join(folder, 'artifact.html'), ARTIFACT_PAGE);
    await writeFile(join(folder, 'inputs.bin'), train.inputs.subarray(0, EXAMPLES * train.width));
    await writeFile(join(folder, 'labels.bin'), train.labels.subarray(0, EXAMPLES));
    await writeFile(join(folder, 'digits.bin'), test.inputs.subarray(0, DIGITS * test.width));
    servers.isolated = await serve([folder, ROOT]);
    servers.plain = await serve([folder, ROOT], 0, {});
    servers.workerless = await serve([folder, ROOT], 0, {
      ...ISOLATION,
      'Content-Security-Policy': "worker-src 'none'",
    });
    browser = await launchChromium();
  });

  afterAll(async () => {
    await browser?.close();
    for (const server of Object.values(servers)) await server.close();
    if (folder) await rm(folder, { recursive: true });
  });

  /** Runs in a fresh page, which may not log an error. */
  async function inPage<Result>(
    server: string,
    run: (page: Page) => Promise<Result>,
    expectErrors = false,
  ): Promise<Result> {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('pageerror', ({ message }) => errors.push(message));
    try {
      await page.goto(servers[server].url, { waitUntil: 'load' });
      const result = await run(page);
      if (!expectErrors) expect(errors).toEqual([]);
      return result;
    } finally {
      await page.close();
    }
  }

  /** Pages, and what is opened in them. */
  const HOSTS: [server: string, backend: Ternseed.BackendChoice, threads: number, summary: string][] = [
    ['isolated', 'wasm', 2, 'wasm, relaxed SIMD, 2 threads'],
    ['isolated', 'wasm', 1, 'wasm, relaxed SIMD, 1 thread'],
    ['plain', 'wasm', 1, 'wasm, relaxed SIMD, 1 thread'],
    ['plain', 'reference', 1, 'reference'],
    ['plain', 'webgpu', 1, 'webgpu, '],
  ];

  describe.each(HOSTS)(
    'in a page that is %s, %s with %i thread(s)',
    (server, backendName, threads, summary) => {
      it.each(kinds)('rebuilds a %s and classifies digits as Node does', async (kind) => {
        const found = await inPage(server, async (page) => {
          let workers = 0;
          page.on('worker', () => (workers += 1));
          const made = await page.evaluate(
            async ({ backendName, threads, kind, digits }) => {
              const { openUrl, openBackend, perceptronArtifact, rebuildVerified } = artifactOnly;
              const artifact = perceptronArtifact(await openUrl(`${kind}.tern`));
              const backend = await openBackend(backendName, threads);
              const weights = await rebuildVerified(artifact, backend);
              const placed = await backend.place(artifact.network, { batch: digits });
              await placed.writeWeights(weights);
              const inputs = await (await fetch('digits.bin')).arrayBuffer();
              placed.load({ inputs: new Uint8Array(inputs), labels: new Uint8Array(digits), length: 1 });
              const { predictions } = await placed.evaluate();
              const { summary } = backend;
              await backend.close();
              return {
                isolated: crossOriginIsolated,
                summary,
                kind: artifact.kind,
                predictions: [...predictions],
              };
            },
            { backendName, threads, kind, digits: DIGITS },
          );
          return { ...made, workers };
        });
        expect(found).toEqual({
          ...{ isolated: server === 'isolated', summary: expect.stringContaining(summary), kind },
          ...{ predictions: node.predictions[kind], workers: threads - 1 },
        });
      });

      it('trains to the weights that Node trained', async () => {
        const found = await inPage(server, (page) =>
          page.evaluate(
            async ({ backendName, threads, config, count }) => {
              const { NoiseStepTrainer, openBackend, weightsHash } = ternseed;
              const [inputs, labels] = await Promise.all(
                ['inputs.bin', 'labels.bin'].map(
                  async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer()),
                ),
              );
              const backend = await openBackend(backendName, threads);
              const data = { inputs, labels, count, width: inputs.length / count };
              const trainer = await NoiseStepTrainer.create(config, data, backend);
              while (trainer.step < config.steps) await trainer.next();
              const hash = await weightsHash(await trainer.placed.readWeights());
              await backend.close();
              return { step: trainer.step, hash };
            },
            { backendName, threads, config, count: EXAMPLES },
          ),
        );
        expect(found).toEqual({ step: config.steps, hash: node.hash });
      });
    },
  );

  /** The error that something in a page ends with. */
  const errorIn = (page: Page, run: () => Promise<unknown>) =>
    page.evaluate(`(${run})().then(() => null, ({ code, message }) => ({ code, message }))`) as Promise<{
      code: string;
      message: string;
    } | null>;

  it('a page loads, replays and infers with 40 KB gzipped, with 60 KB on a GPU as well, and 11 KB more for a transformer', async () => {
    const [cpu, gpu, transformer] = await inPage('plain', async (page) => {
      const served: Response[] = [];
      page.on('response', (response) => /\.js$/.test(response.url()) && served.push(response));
      /** Gzipped bytes of all scripts that the page was served so far. */
      const bytes = async () => {
        const bodies = await Promise.all(served.map((response) => response.body()));
        return bodies.reduce((sum, body) => sum + gzipSync(body, { level: 9 }).length, 0);
      };
      const classify = (name: Ternseed.BackendChoice) =>
        page.evaluate(async (name) => {
          for (const kind of ['pool', 'log', 'packed']) {
            const artifact = artifactOnly.perceptronArtifact(await artifactOnly.openUrl(`${kind}.tern`));
            const backend = await artifactOnly.openBackend(name);
            const weights = await artifactOnly.rebuildVerified(artifact, backend);
            const placed = await backend.place(artifact.network, { batch: 1 });
            await placed.writeWeights(weights);
            placed.load({ inputs: new Uint8Array(784), labels: new Uint8Array(1), length: 1 });
            await placed.evaluate();
            await backend.close();
          }
        }, name);
      await page.goto(`${servers.plain.url}artifact.html`, { waitUntil: 'load' });
      await classify('auto');
      const cpu = await bytes();
      await classify('webgpu');
      const gpu = await bytes();
      await page.evaluate(async (shape) => {
        const backend = await artifactOnly.openBackend('wasm');
        const placed = await backend.place(artifactOnly.transformerOf(shape), { batch: 1 });
        await placed.next(65);
        await backend.close();
      }, SMALL_SHAPE);
      return [cpu, gpu, (await bytes()) - gpu];
    });
    expect(cpu).toBeLessThanOrEqual(40_000);
    expect(gpu).toBeLessThanOrEqual(60_000);
    expect(transformer).toBeLessThanOrEqual(11_000);
  });

  it('the module has every name that Node has', async () => {
    const names = await inPage('plain', (page) => page.evaluate(() => Object.keys(ternseed)));
    expect(names.sort()).toEqual(Object.keys(Ternseed).sort());
  });

  it('Node opens by URL as well, and says why where there is no answer', async () => {
    expect((await Ternseed.openUrl(`${servers.plain.url}pool.tern`)).weightsHash).toBe(node.hash);
    const { url, close } = await serve([]);
    await close();
    await expect(Ternseed.openUrl(url)).rejects.toThrow(
      /^"http:.*" expected a file, got no answer: .*ECONNREFUSED.*\(CORS\)\?$/,
    );
  });

  it('the example page opens a file by address and by dropping it, and classifies what is drawn', async () => {
    const { url, close } = await serve([join(ROOT, 'examples/browser'), ROOT, folder]);
    const page = await browser.newPage();
    try {
      await page.goto(`${url}?artifact=pool.tern`);
      const facts = page.locator('#facts');
      await facts.getByText(node.hash).waitFor();
      const { x, y, width, height } = (await page.locator('#pad').boundingBox()) as DOMRect;
      await page.mouse.move(x + width / 2, y + height / 4);
      await page.mouse.down();
      await page.mouse.move(x + width / 2, y + (3 * height) / 4, { steps: 5 });
      await page.mouse.up();
      await page.locator('#classes .best').waitFor();
      const shares = await page.locator('#classes output').allTextContents();
      expect(shares.reduce((sum, text) => sum + Number.parseFloat(text), 0)).toBeCloseTo(100, 0);

      await page.evaluate(async () => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([await (await fetch('log.tern')).blob()], 'dropped.tern'));
        dispatchEvent(new DragEvent('drop', { dataTransfer }));
      });
      await page.getByText('dropped.tern: loaded').waitFor();
      expect(await facts.textContent()).toMatch(/bytes, log/);
    } finally {
      await page.close();
      await close();
    }
  });

  it('without isolation takes one thread by itself, and says what more would need', async () => {
    const [summary, error] = await inPage('plain', async (page) => [
      await page.evaluate(async () => (await artifactOnly.openBackend('auto')).summary),
      await errorIn(page, () => artifactOnly.openBackend('wasm', 2)),
    ]);
    expect(summary).toBe('wasm, relaxed SIMD, 1 thread');
    expect(error).toEqual({
      code: 'BACKEND',
      message: expect.stringMatching(
        /^"threads" expected 1, got 2: .*Cross-Origin-Opener-Policy: same-origin/,
      ),
    });
  });

  it('says so where the page allows no workers', async () => {
    const error = await inPage(
      'workerless',
      (page) =>
        errorIn(page, async () => {
          const { network } = artifactOnly.perceptronArtifact(await artifactOnly.openUrl('pool.tern'));
          const backend = await artifactOnly.openBackend('wasm', 2);
          const placed = await backend.place(network, { batch: 64 });
          placed.load({ inputs: new Uint8Array(64 * 784), labels: new Uint8Array(64), length: 1 });
          await placed.evaluate();
        }),
      true,
    );
    expect(error).toEqual({
      code: 'BACKEND',
      message: expect.stringMatching(/^a worker thread could not be started: .*"blob:"/),
    });
  });

  it('says that a page without encryption cannot hash', async () => {
    const error = await inPage('plain', async (page) => {
      await page.goto(servers.plain.url.replace('127.0.0.1', 'insecure.test'));
      return errorIn(page, () => ternseed.weightsHash(Int8Array.of(1, 0, -1)));
    });
    expect(error).toEqual({ code: 'BACKEND', message: expect.stringMatching(/secure context.*HTTPS/) });
  });

  it.each<[what: string, run: () => Promise<unknown>, code: string, message: RegExp]>([
    [
      'a file that is not there',
      () => artifactOnly.openUrl('none.tern'),
      'INPUT',
      /^"none\.tern" expected a file, got HTTP status 404 Not Found$/,
    ],
    [
      'a page',
      () => artifactOnly.openUrl(new URL('/', location.href)),
      'ARTIFACT',
      /^"http:.*\/": preamble at byte 0: expected "TERN", got something else: not a ternseed artifact$/,
    ],
    [
      'a server that does not answer',
      () => artifactOnly.openUrl('http://127.0.0.1:9/a.tern'),
      'INPUT',
      /^"http:\/\/127\.0\.0\.1:9\/a\.tern" expected a file, got no answer: /,
    ],
  ])('opening %s by URL is an error that says so', async (_, run, code, message) => {
    const error = await inPage('plain', (page) => errorIn(page, run), true);
    expect(error).toEqual({ code, message: expect.stringMatching(message) });
  });

  it('gives up opening when its signal says so, with the reason of the signal', async () => {
    const error = await inPage('plain', (page) =>
      page.evaluate(() =>
        artifactOnly.openUrl('pool.tern', { signal: AbortSignal.abort(new Error('enough')) }).then(
          () => null,
          (reason: Error) => reason.message,
        ),
      ),
    );
    expect(error).toBe('enough');
  });
});
