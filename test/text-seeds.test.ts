/** Seed logs and pools of a transformer: the same bits on every backend, and in every reader. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { formsOf } from '../src/artifact/compact.js';
import { formatKey, headerOf } from '../src/artifact/header.js';
import { rebuildRows, rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import { lossOfUnits, type LogStep } from '../src/artifact/seed-log.js';
import type { Backend } from '../src/backend/backend.js';
import type { TextNoiseStepConfig } from '../src/perturb/config.js';
import { TEXT_NOISE_STEP_PRESETS } from '../src/perturb/presets.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import { encodeTrained } from '../src/train/encode.js';
import { fastBackends, reference } from './support/backends.js';
import { cli, onlyObject } from './support/cli.js';
import { because, pythonFault } from './support/missing.js';
import { randomText } from './support/transformers.js';

const text = randomText(1, 700, 3);
const base: TextNoiseStepConfig = {
  ...TEXT_NOISE_STEP_PRESETS.default,
  ...{
    blocks: 2,
    width: 24,
    heads: 2,
    keyHeads: 1,
    hidden: 21,
    context: 12,
    loopFrom: 0,
    loopTo: 1,
    loops: 2,
  },
  ...{ seed: 'seeds', steps: 4, batch: 3, cut: 42, directions: 300, nonzeros: [5, 2], nonzerosBelow: [20] },
  ...{ keep: 0.5, pool: 900, learningRate: 20 },
};
const KINDS = [
  ['pool', 'int8'],
  ['pool', 'ternary'],
  ['log', 'int8'],
  ['log', 'ternary'],
] as const;

/** A log moves latents by one: with cut 0 those are the trits. */
const configOf = (kind: 'pool' | 'log', embedding: 'int8' | 'ternary'): TextNoiseStepConfig => ({
  ...base,
  ...{ artifact: kind, embedding, cut: kind === 'log' ? 0 : 42 },
});

interface Made {
  readonly bytes: Uint8Array;
  readonly values: Int8Array;
}

async function trained(kind: 'pool' | 'log', embedding: 'int8' | 'ternary', backend: Backend): Promise<Made> {
  const config = configOf(kind, embedding);
  const trainer = await NoiseStepTrainer.ofText(config, text, backend);
  const steps: LogStep[] = [];
  while (trainer.step < config.steps) {
    const { log, lossUnits, step } = await trainer.next();
    if (log) steps.push({ ...log, seedStep: step, loss: lossOfUnits(lossUnits) });
  }
  const { graph, key, counts } = trainer;
  const values = await trainer.values();
  const header = headerOf(graph, {
    ...{ kind, key: formatKey(key), cut: config.cut as number, directions: counts, config: { ...config } },
    data: { name: 'none', hash: '' },
  });
  const bytes = await encodeTrained(trainer, header, { steps });
  await trainer.placed.release();
  return { bytes, values };
}

describe.each(KINDS)('a seed %s of a transformer with an embedding of %s', (kind, embedding) => {
  let made: Made;
  beforeAll(async () => {
    made = await trained(kind, embedding, reference);
  });

  // A software GPU takes long: one kind of either artifact.
  const backends = fastBackends.filter(
    ([name]) =>
      !name.startsWith('webgpu') || (name === 'webgpu' && (kind === 'pool') === (embedding === 'int8')),
  );
  it.each(backends)('is trained and rebuilt to the same bytes on %s', async (_, open) => {
    const backend = await open();
    const mine = await trained(kind, embedding, backend);
    expect(Buffer.compare(mine.bytes, made.bytes)).toBe(0);
    expect(await rebuildVerified(openArtifact(made.bytes), backend)).toEqual(made.values);
    await backend.close();
  });

  it('moves tensors but never the scales, and parts are rebuilt alone', async () => {
    const artifact = openArtifact(made.bytes);
    const untrained = await trainedNot(kind, embedding);
    const moved: string[] = [];
    for (const { name, offset, rows, columns } of artifact.network.tensors) {
      const part = made.values.slice(offset, offset + rows * columns);
      expect(rebuildTensor(artifact, name)).toEqual(part);
      expect(rebuildRows(artifact, name, { from: 1, to: 3 })).toEqual(part.slice(columns, 3 * columns));
      if (part.some((value, i) => value !== untrained[offset + i])) moved.push(name);
    }
    expect(moved).toContain('head.weight');
    expect(moved.some((name) => name.startsWith('block'))).toBe(true);
    expect(moved).not.toContain('scales');
  });

  it('has other forms that are the same weights', async () => {
    const artifact = openArtifact(made.bytes);
    for (const { bytes } of formsOf(artifact, made.bytes, made.values)) {
      if (bytes) expect(await rebuildVerified(openArtifact(bytes), reference)).toEqual(made.values);
    }
  });

  it.skipIf(pythonFault !== null)(`is rebuilt by reader.py${because(pythonFault)}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'ternseed-seeds-'));
    await writeFile(join(folder, 'a.tern'), made.bytes);
    const reader = fileURLToPath(new URL('../docs/reader.py', import.meta.url));
    const printed = execFileSync('python3', [reader, join(folder, 'a.tern')], { encoding: 'utf8' });
    expect(printed).toContain(openArtifact(made.bytes).weightsHash);
    await rm(folder, { recursive: true });
  });
});

/** The values before the first step. */
async function trainedNot(kind: 'pool' | 'log', embedding: 'int8' | 'ternary'): Promise<Int8Array> {
  const trainer = await NoiseStepTrainer.ofText(configOf(kind, embedding), text, reference);
  return trainer.values();
}

describe('by the command line', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const shape = ['--blocks', '1', '--width', '16', '--heads', '2', '--key-heads', '2', '--hidden', '16'];
  const settings = [...shape, '--context', '8', '--batch', '2', '--steps', '6', '--seed', 'a'];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-seeds-'));
    await writeFile(at('text'), text);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it.each(['pool', 'log'])(
    'a %s is trained, verified and retrained, and continues after a stop',
    async (kind) => {
      const directions = ['--directions', '64', '--nonzeros', '3', '--nonzeros-below', '', '--pool', '400'];
      const common = ['train', 'text', '--text', at('text'), '--method', 'noise-step', '--artifact', kind];
      const whole = await cli([...common, ...settings, ...directions, '--out', at(`${kind}.tern`), '--json']);
      expect(whole.stderr).not.toContain('Error');
      expect(whole.code).toBe(0);
      const { weightsHash: hash } = onlyObject(whole.stdout);
      const verified = await cli([
        'verify',
        at(`${kind}.tern`),
        '--retrain',
        'all',
        '--data',
        at('text'),
        '--json',
      ]);
      expect(onlyObject(verified.stdout)).toMatchObject({ ok: true, weightsHash: hash });
      const out = at(`${kind}-stopped.tern`);
      const stopped = [...common, ...settings, ...directions, '--out', out, '--minutes', '0.00001'];
      expect((await cli(stopped)).code).toBe(0);
      const short = openArtifact(await readFile(out));
      expect(short.steps).toBeLessThan(6);
    },
  );
});
