/** Checks that the GPU benchmark runs from its one bundled file, on whatever adapter there is, and says what is true. */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { webgpuFault } from '../support/adapter.js';
import { because } from '../support/missing.js';
import { writeTinyData } from '../support/tiny-data.js';

const ROOT = join(import.meta.dirname, '../..');

describe.skipIf(webgpuFault !== null)(`the GPU benchmark${because(webgpuFault)}`, () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-gpu-'));
    await writeTinyData(join(folder, 'tiny'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('from its one file: every part is there, hashes equal the CPU’s, and a software adapter judges nothing', async () => {
    // Beside node_modules, where it finds the package webgpu; the repository is not needed.
    const file = join(ROOT, 'dist/bench/gpu.mjs');
    execFileSync(process.execPath, [join(ROOT, 'scripts/bundle-gpu-bench.mjs'), file]);
    expect(existsSync(file)).toBe(true);
    const args = [file, '--quick', '--data', join(folder, 'tiny'), '--out', folder];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
    expect(status, stderr).toBe(0);
    const name = (await readdir(folder)).find((entry) => entry.endsWith('.json')) as string;
    expect(stdout).toBe(await readFile(join(folder, name.replace('.json', '.md')), 'utf8'));
    const results = JSON.parse(await readFile(join(folder, name), 'utf8'));
    expect(results).toMatchObject({
      equal: true,
      quick: true,
      commit: expect.stringMatching(/^[0-9a-f]{7}/),
    });
    expect(results.ceilings.bandwidth).toBeGreaterThan(0);
    const kernels = results.kernels.map(({ kernel }: { kernel: string }) => kernel);
    for (const kernel of ['linear', 'normalize', 'align', 'pool: gather', 'log step: scatter']) {
      expect(kernels).toContain(kernel);
    }
    for (const { seconds, ofFloor } of results.kernels) {
      expect(seconds).toBeGreaterThan(0);
      expect(ofFloor).toBeGreaterThan(0);
    }
    for (const { gpu, cpu } of [...results.forward, ...results.training, results.replay]) {
      expect(gpu.hash).toBe(cpu.hash);
    }
    expect(results.training.map(({ preset }: { preset: string }) => preset)).toEqual([
      'default',
      'paper',
      'text',
    ]);
    const verdicts = results.requirements.map(({ verdict }: { verdict: string }) => verdict);
    expect(verdicts).toHaveLength(3);
    if (results.software) expect(verdicts.slice(0, 2).join()).toMatch(/^not checked.*not checked/);
    expect(verdicts[2]).toMatch(/^met/);
  }, 240_000);
});
