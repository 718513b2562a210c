/**
 * What the webgpu backend has beside the operations that all backends share: tiles of every size,
 * device memory, a device that is lost, and the command line on it.
 */

import { spawnSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readUnfinishedLog } from '../../src/artifact/unfinished-log.js';
import { trialMs, tryGpu, verdictOf } from '../../src/backend/auto.js';
import type { Placed } from '../../src/backend/backend.js';
import { openBackend } from '../../src/backend/open.js';
import { openWebgpu } from '../../src/backend/webgpu/webgpu.js';
import { BackendError, ConfigError } from '../../src/errors.js';
import { directionSet, poolSets } from '../../src/random/directions.js';
import type { Key } from '../../src/random/philox.js';
import { type Network, networkOf } from '../../src/ternary/builders/perceptron.js';
import { webgpuFault } from '../support/adapter.js';
import { because } from '../support/missing.js';
import { allBackends, reference } from '../support/backends.js';
import { cli, cliJson } from '../support/cli.js';
import { writeTinyData } from '../support/tiny-data.js';
import { tinyOptions } from '../support/tiny-runs.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const key: Key = [3, 4];
const probes = { key, step: 1, probes: 3, sigma: 51, rewardShift: 5 } as const;

const setsOf = ({ tensors }: Network, share: number) =>
  poolSets(
    tensors,
    key,
    tensors.map(({ rows, columns }) => Math.ceil(rows * columns * share)),
  );

/** Fills a network and its batch with numbers that any place could tell from another. */
async function fill(on: Placed, batch: number): Promise<void> {
  const { widths, parameters } = on.graph as Network;
  on.load({
    inputs: Uint8Array.from({ length: batch * widths[0] }, (_, i) => (i * i + 31 * i) & 127),
    labels: Uint8Array.from({ length: batch }, (_, b) => b % (widths.at(-1) as number)),
    length: 1,
  });
  await on.writeWeights(Int8Array.from({ length: parameters }, (_, i) => ((i * 7919) % 3) - 1));
}

describe.skipIf(webgpuFault !== null)(`webgpu${because(webgpuFault)}`, () => {
  it('is among the backends of the other suites, with all features and without', () => {
    expect(allBackends.filter(([name]) => name.startsWith('webgpu')).length).toBe(2);
  });

  // The largest take a software adapter long to compile, so a real GPU's are tried in one shape each.
  it.each([1, 8])('tiles of %i × 16 rows give the same as the reference', async (tile) => {
    const batch = 150;
    const network = networkOf([150, 140, 10], { centred: true, gain: 25, logitScale: 900 });
    const backend = await openWebgpu({ tile });
    const results = [];
    for (const one of [backend, reference]) {
      const on = await one.place(network, { batch, probes: 3 });
      await fill(on, batch);
      results.push([await on.logits(), await on.align(probes, setsOf(network, 0.1))]);
      await on.release();
    }
    await backend.close();
    expect(results[0]).toEqual(results[1]);
  });

  it('batches of many tiles of examples, and probes a few at a time, give the same as the reference', async () => {
    const batch = 100;
    const network = networkOf([13, 50, 30, 3], { centred: false, gain: 25, logitScale: 500 });
    const set = directionSet({
      ...{ key, step: 2, group: 3, offset: 0, size: network.parameters, directions: 5, touched: 400 },
    });
    const backend = await openWebgpu({ workBytes: 2 ** 14 });
    const results = [];
    for (const one of [backend, reference]) {
      const on = await one.place(network, { batch, probes: 33, weights: true });
      await fill(on, batch);
      results.push([
        await on.logits(),
        await on.evaluate(),
        await on.align({ ...probes, probes: 33 }, setsOf(network, 0.1)),
        await on.alignWeights(set, 3, 4),
      ]);
      await on.release();
    }
    await backend.close();
    expect(results[0]).toEqual(results[1]);
  });

  it('device memory is flat over 400 steps, and all is given back', async () => {
    const network = networkOf([20, 8, 4], { centred: true, gain: 25, logitScale: 900 });
    const sets = setsOf(network, 0.3);
    const set = directionSet({
      ...{ key, step: 1, group: 2, offset: 0, size: network.parameters, directions: 4, touched: 8 },
    });
    const coefficients = Int16Array.from(
      { length: sets.reduce((sum, one) => sum + one.directions, 0) },
      (_, i) => i % 3,
    );
    const backend = await openWebgpu();
    expect(backend.device.liveBytes).toBe(0);
    const on = await backend.place(network, { batch: 8, probes: 3, weights: true });
    await on.initLatents(key, 1);
    const live: number[] = [];
    for (let step = 0; step < 400; step++) {
      on.load({ inputs: new Uint8Array(8 * 20).fill(step & 127), labels: new Uint8Array(8), length: 1 });
      if (step % 10 === 0) await on.alignWeights(set, 0, 4);
      await on.align(probes, sets);
      await on.applyPool(sets, coefficients);
      await on.applyStep(set, Int8Array.of(1, 0, -1, 1));
      live.push(backend.device.liveBytes);
    }
    expect(new Set(live.slice(1)).size).toBe(1);
    const { weights, latents, batch, work } = on.memory;
    expect(weights + latents + batch + work).toBe(live.at(-1));
    await on.release();
    expect(backend.device.liveBytes).toBe(0);
    await backend.close();
  });

  it('a device that is lost is a clear error of what waits and of what comes after', async () => {
    const backend = await openWebgpu();
    const network = networkOf([20, 8, 4], { centred: true, gain: 25, logitScale: 900 });
    const on = await backend.place(network, { batch: 8, probes: 3 });
    await fill(on, 8);
    const waiting = on.align(probes, setsOf(network, 0.3));
    backend.device.device.destroy();
    const message =
      /^the webgpu device was lost \(destroyed: .*\): what was saved is whole, continue with "--resume"/;
    for (const work of [
      () => waiting,
      () => on.evaluate(),
      () => on.readWeights(),
      () => on.initLatents(key, 1),
      () => on.applyPool([], new Int16Array(0)),
      () => backend.place(network, { batch: 8 }),
    ]) {
      const error = await work().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(BackendError);
      expect((error as Error).message).toMatch(message);
    }
    await backend.close();
  });

  it('what there is no room for is a ConfigError', async () => {
    const backend = await openWebgpu();
    const network = networkOf([20, 8, 4], { centred: true, gain: 25, logitScale: 900 });
    const on = await backend.place(network, { batch: 8, probes: 2 });
    await expect(on.evaluate()).rejects.toThrow('no batch is loaded');
    await fill(on, 8);
    const [set] = setsOf(network, 0.3);
    await expect(on.align(probes, [set])).rejects.toThrow(ConfigError);
    await expect(on.alignWeights(set, 0, 1)).rejects.toThrow(ConfigError);
    expect(() => on.load({ inputs: new Uint8Array(0), labels: new Uint8Array(0), length: 1 })).toThrow(
      ConfigError,
    );
    await expect(backend.place(network, { batch: 0 })).rejects.toThrow(ConfigError);
    await backend.close();
  });

  it('auto does not take a software adapter, and says so', async () => {
    expect(await tryGpu(1)).toEqual({
      gpu: false,
      note: expect.stringMatching(/^the only GPU is .*SwiftShader/),
    });
  });

  describe('on the command line', () => {
    let folder: string;
    let data: string;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'ternseed-webgpu-'));
      data = join(folder, 'tiny');
      await writeTinyData(data);
    });
    afterAll(() => rm(folder, { recursive: true }));

    const at = (name: string) => join(folder, name);
    const train = (out: string, ...more: string[]) => [
      ...['train', 'idx', '--data', data, ...tinyOptions, '--out', out, ...more],
    ];
    const gpu = ['--backend', 'webgpu'];

    it('every verb gives what wasm gives, and the process ends by itself', async () => {
      const runs = [
        ['pool', 'nodes'],
        ['log', 'weights'],
        ['packed', 'nodes'],
      ];
      for (const [artifact, perturb] of runs) {
        const more = ['--artifact', artifact, '--perturb', perturb];
        const mine = await cliJson(train(at(`${artifact}.tern`), ...more, ...gpu));
        const theirs = await cliJson(train(at('wasm.tern'), ...more, '--backend', 'wasm', '--force'));
        expect(mine).toMatchObject({
          backend: 'webgpu',
          weightsHash: theirs.weightsHash,
          accuracy: theirs.accuracy,
        });
      }
      const { weightsHash, accuracy } = await cliJson(['eval', at('log.tern'), '--data', data, ...gpu]);
      expect(await cliJson(['eval', at('log.tern'), '--data', data])).toMatchObject({
        weightsHash,
        accuracy,
      });
      expect(await cliJson(['verify', at('log.tern'), ...gpu])).toMatchObject({
        ok: true,
        backend: 'webgpu',
      });
      expect(await cliJson(['replay', at('log.tern'), ...gpu])).toMatchObject({
        weightsHash,
        backend: 'webgpu',
      });
      expect(await cliJson(['diff', at('log.tern'), at('log.tern'), ...gpu])).toMatchObject({
        changedTrits: 0,
      });
      await cliJson(['export', at('log.tern'), '--to', 'packed', '--out', at('p.tern'), ...gpu]);
      expect(await cliJson(['verify', at('p.tern')])).toMatchObject({ ok: true, weightsHash });
    });

    it('env lists the adapter and its features', async () => {
      const { adapters, backends } = await cliJson(['env']);
      expect(backends).toMatchObject({ webgpu: true });
      expect(adapters).toEqual([
        {
          name: expect.any(String),
          software: expect.any(Boolean),
          features: expect.arrayContaining(['packed_4x8_integer_dot_product']),
        },
      ]);
    });

    it.each(['log', 'pool'])(
      'a device lost amid the training of a %s: exit 4, all that is on disk is whole, --resume goes on',
      async (artifact) => {
        const more = ['--artifact', artifact, '--save-every', '0'];
        const out = at(`lost-${artifact}.tern`);
        const env = { ...process.env, LOSE_DEVICE_AFTER: '30' };
        const command = [process.execPath, '--import', join(ROOT, 'test/support/lose-device.mjs')];
        const { code, stderr, stdout } = await cli(train(out, ...more, ...gpu), { env }, command);
        expect(stderr).toMatch(
          /the webgpu device was lost \(.+\): what was saved is whole, continue with "--resume"/,
        );
        expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
        const partial = await readFile(`${out}.partial`);
        if (artifact === 'log') {
          const { steps, length } = readUnfinishedLog(partial);
          expect(steps).toBeGreaterThan(1);
          expect(length).toBe(partial.length);
        }
        await cliJson(['train', 'idx', '--data', data, '--resume', out, ...gpu]);
        await cliJson(train(at('whole.tern'), ...more, '--backend', 'wasm'));
        expect(await readFile(out)).toEqual(await readFile(at('whole.tern')));
        await rm(at('whole.tern'));
      },
    );
  });
});

describe('without a GPU', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-no-gpu-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('no adapter is exit 4, with what to install', async () => {
    const env = { ...process.env, VK_ICD_FILENAMES: '/nonexistent.json' };
    const { code, stdout, stderr } = await cli(
      ['verify', join(ROOT, 'package.json'), '--backend', 'webgpu'],
      { env },
    );
    expect(stderr).toMatch(/expected a GPU adapter, got none: install a Vulkan.*"--backend wasm"/);
    expect({ code, stdout }).toEqual({ code: 4, stdout: '' });
  });

  it('no package is exit 4, with what to install; env does without', async () => {
    await cp(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
    await cp(join(ROOT, 'package.json'), join(folder, 'package.json'));
    await mkdir(join(folder, 'node_modules'));
    for (const name of ['@noble', 'commander', 'fflate', 'seedrandom']) {
      await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name));
    }
    const run = (...args: string[]) =>
      spawnSync(process.execPath, [join(folder, 'dist/cli/main.js'), ...args], { encoding: 'utf8' });
    const missing = run('verify', join(folder, 'package.json'), '--backend', 'webgpu');
    expect(missing.stderr).toContain(
      'expected the package "webgpu", got none installed: `npm install webgpu`',
    );
    expect(missing.status).toBe(4);
    const env = run('env', '--json');
    expect(env.status, env.stderr).toBe(0);
    expect(JSON.parse(env.stdout)).toMatchObject({ adapters: [], backends: { wasm: true, webgpu: false } });
  });

  it('the slower of two backends is not taken, and the summary says by how much', async () => {
    const wasm = await openBackend('wasm', 1);
    const ratio = (await trialMs(reference)) / (await trialMs(wasm));
    await wasm.close();
    expect(ratio).toBeGreaterThan(1);
    expect(verdictOf(30, 10, 'X')).toEqual({ gpu: true, note: '3.0× wasm in a trial' });
    expect(verdictOf(10, 25, 'X')).toEqual({ gpu: false, note: '2.5× X in a trial' });
  });

  it('auto takes wasm for work that is soon done', async () => {
    const backend = await openBackend('auto', 1);
    expect(backend.summary).toMatch(/^wasm, (relaxed )?SIMD, 1 thread$/);
    await backend.close();
  });
});
