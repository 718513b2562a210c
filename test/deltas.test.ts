/** Deltas: what they rebuild to on every backend, how their bases are found, and what is said when they are not. */

import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { bytesSource } from '../src/artifact/byte-source.js';
import { differences, withDifferences } from '../src/artifact/delta.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { rebuild, rebuildRows, rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import { exportJson } from '../src/exchange/export-json.js';
import { VALUE_RANGES } from '../src/ternary/precision.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { fastBackends, keepOpen, reference } from './support/backends.js';
import { cli, onlyObject, startCli, stepped } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { type TinyBase, tinyOptions, tinyRun, type TrainedRun } from './support/tiny-runs.js';
import { randomValues, SMALL_SHAPE } from './support/transformers.js';

describe('differences', () => {
  const model = transformerOf(SMALL_SHAPE); // trits, int8 and scales

  it('give back what they were taken of, and are values of the same ranges', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 }), (a, b) => {
        const [base, values] = [randomValues(model, a), randomValues(model, b)];
        const changes = differences(model, base, values);
        expect(withDifferences(model, base, changes)).toEqual(values);
        for (const { values: kind, offset, rows, columns } of model.tensors) {
          const part = changes.subarray(offset, offset + rows * columns);
          const [least, largest] = VALUE_RANGES[kind];
          expect(Math.min(...part)).toBeGreaterThanOrEqual(least);
          expect(Math.max(...part)).toBeLessThanOrEqual(largest);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('of equal values are all the value that stands for none', () => {
    const values = randomValues(model, 3);
    const changes = differences(model, values, values);
    const { offset } = model.scales;
    expect(new Set(changes.subarray(0, offset))).toEqual(new Set([0]));
    expect(new Set(changes.subarray(offset))).toEqual(new Set([1]));
  });
});

const backendOf = keepOpen();

let base: TrainedRun;
let onBase: TinyBase;
beforeAll(async () => {
  base = await tinyRun({ artifact: 'pool' }, reference);
  onBase = { header: { name: 'base.tern', hash: base.hash }, weights: base.history.at(-1) as Int8Array };
});

describe.each([
  ['pool', 'nodes'],
  ['log', 'nodes'],
  ['log', 'weights'],
  ['packed', 'nodes'],
] as const)('a delta that is a %s of %s', (artifact, perturb) => {
  let delta: TrainedRun;
  beforeAll(async () => {
    delta = await tinyRun(
      { artifact, perturb, seed: 'other', steps: 20, learningRate: 0.6 },
      reference,
      onBase,
    );
  });

  it('begins with its base’s weights', () => {
    expect(delta.history[0]).toEqual(onBase.weights);
    expect(delta.history.at(-1)).not.toEqual(onBase.weights);
  });

  it.each(fastBackends)('trains and rebuilds to the same weights on %s', async (name) => {
    const backend = backendOf(name);
    const config = { artifact, perturb, seed: 'other', steps: 20, learningRate: 0.6 };
    const same = await tinyRun(config, backend, onBase);
    expect(same.bytes).toEqual(delta.bytes);
    const opened = openArtifact(delta.bytes);
    expect(await rebuildVerified(opened, backend, onBase.weights)).toEqual(delta.history.at(-1));
  });

  it('rebuilds by tensor and rows, from a source, too', async () => {
    const opened = openArtifact(delta.bytes);
    const distant = await openArtifactFrom(bytesSource(delta.bytes));
    const whole = delta.history.at(-1) as Int8Array;
    for (const { name, offset, rows, columns } of opened.network.tensors) {
      const part = whole.slice(offset, offset + rows * columns);
      expect(rebuildTensor(opened, name, 20, onBase.weights)).toEqual(part);
      expect(await distant.rebuildTensor(name, 20, onBase.weights)).toEqual(part);
      expect(rebuildRows(opened, name, { from: 1, to: 3 }, 20, onBase.weights)).toEqual(
        part.slice(columns, 3 * columns),
      );
    }
  });

  it('is JSON that does not call differences weights', () => {
    const json = JSON.parse([...exportJson(openArtifact(delta.bytes), 'test 1')].join('')) as object;
    expect(json).not.toHaveProperty('weights');
    expect(json).toMatchObject({ header: { base: onBase.header } });
    if (artifact === 'packed') expect(json).toHaveProperty('differences');
  });

  it('is an error without its base, and with another one', async () => {
    const opened = openArtifact(delta.bytes);
    await expect(rebuild(opened, reference)).rejects.toThrow(
      `expected a base whose weights have the hash ${base.hash}, got none`,
    );
    const wrong = onBase.weights.slice();
    wrong[7] = wrong[7] === 1 ? 0 : 1;
    await expect(rebuild(opened, reference, 20, wrong)).rejects.toThrow(
      `expected a base whose weights have the hash ${base.hash}, got `,
    );
    expect(() => rebuildTensor(opened, 'layer0.weight')).toThrow(base.hash);
    const plain = openArtifact(base.bytes);
    await expect(rebuild(plain, reference, 12, onBase.weights)).rejects.toThrow('expected no base');
  });
});

describe('the command line', () => {
  let folder: string;
  const at = (...names: string[]) => join(folder, ...names);
  const run = async (...args: string[]) => onlyObject((await cli([...args, '--json'])).stdout);
  const data = () => ['idx', '--data', at('tiny'), '--threads', '1'];
  const short = [...tinyOptions, '--steps', '20', '--learning-rate', '0.6'];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-deltas-'));
    await writeTinyData(at('tiny'));
    await run('train', ...data(), ...tinyOptions, '--out', at('base.tern'));
    await run('train', ...data(), ...short, '--base', at('base.tern'), '--out', at('first.tern'));
    await run(
      'train',
      ...data(),
      ...short,
      '--seed',
      '2',
      '--base',
      at('first.tern'),
      '--out',
      at('second.tern'),
    );
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('trains a chain of deltas, and finds their bases beside them', async () => {
    const [first, second] = [await run('inspect', at('first.tern')), await run('inspect', at('second.tern'))];
    expect(second.base).toEqual({ name: 'first.tern', hash: first.weightsHash });
    expect((await run('verify', at('second.tern'))).ok).toBe(true);
    const all = await run('verify', at('second.tern'), '--retrain', 'all', '--data', at('tiny'));
    expect(all.ok).toBe(true);
    const packed = await run('export', at('second.tern'), '--to', 'packed', '--out', at('alone.tern'));
    expect(packed.weightsHash).toBe(second.weightsHash);
    expect((await run('inspect', at('alone.tern'))).base).toBeUndefined();
    expect((await run('diff', at('second.tern'), at('alone.tern'))).changedTrits).toBe(0);
    const replayed = await run('replay', at('second.tern'), '--tensor', 'layer1.weight');
    const alone = await run('replay', at('alone.tern'), '--tensor', 'layer1.weight');
    expect(replayed.weightsHash).toBe(alone.weightsHash);
  });

  it('exports a delta whole where a form has no base, and by its name where it has one', async () => {
    const { weightsHash } = await run('inspect', at('second.tern'));
    for (const dtype of ['u8', 'f32']) {
      const file = at(`second.${dtype}.safetensors`);
      await run('export', at('second.tern'), '--to', 'safetensors', '--dtype', dtype, '--out', file);
      const back = await run('import', file, '--out', at('back.tern'), '--force');
      expect(back).toMatchObject({ weightsHash });
      expect((await run('inspect', at('back.tern'))).base).toBeUndefined();
    }
    await run('export', at('second.tern'), '--to', 'json', '--out', at('second.json'));
    const json = JSON.parse(await readFile(at('second.json'), 'utf8')) as { header: { base: unknown } };
    const { weightsHash: hash } = await run('inspect', at('first.tern'));
    expect(json.header.base).toEqual({ name: 'first.tern', hash });
  });

  it('finds bases elsewhere by name, and says which hash is missing', async () => {
    await mkdir(at('apart'));
    await copyFile(at('second.tern'), at('apart', 'second.tern'));
    const { stderr, code } = await cli(['verify', at('apart', 'second.tern')]);
    expect(code).toBe(3);
    const { weightsHash } = await run('inspect', at('first.tern'));
    expect(stderr).toContain(`whose weights have the hash ${weightsHash}, got none`);
    const wrong = await cli([
      'eval',
      at('apart', 'second.tern'),
      '--data',
      at('tiny'),
      '--base',
      at('base.tern'),
    ]);
    expect(wrong.code).toBe(3);
    expect(wrong.stderr).toContain(String(weightsHash));
    const bases = ['--base', at('base.tern'), '--base', at('first.tern')];
    expect((await run('verify', at('apart', 'second.tern'), ...bases)).ok).toBe(true);
  });

  it('goes on with a delta’s run to the same bytes', async () => {
    await mkdir(at('resumed'));
    await copyFile(at('base.tern'), at('resumed', 'base.tern'));
    const out = at('resumed', 'first.tern');
    const long = [...tinyOptions, '--steps', '12000', '--base', at('base.tern')];
    const whole = at('whole.tern');
    await run('train', ...data(), ...long, '--out', whole);
    const metrics = at('resumed', 'first.jsonl');
    const running = startCli(['train', ...data(), ...long, '--out', out, '--metrics', metrics]);
    await stepped(running, metrics, 100);
    running.child.kill('SIGINT');
    expect((await running.ended).code).toBe(130);
    await rename(at('resumed', 'base.tern'), at('resumed', 'moved.tern'));
    const lost = await cli(['train', ...data(), '--resume', out]);
    expect(lost.code).toBe(3);
    expect(lost.stderr).toContain('name it with "--base"');
    await run('train', ...data(), '--resume', out, '--base', at('resumed', 'moved.tern'));
    expect(await readFile(out)).toEqual(await readFile(whole));
  });

  it('does not follow a base’s name out of its folder, nor round in circles', async () => {
    await writeFile(
      at('escape.tern'),
      (
        await tinyRun({ artifact: 'pool', steps: 2 }, reference, {
          ...onBase,
          header: { ...onBase.header, name: '../base.tern' },
        })
      ).bytes,
    );
    const { code, stderr } = await cli(['verify', at('escape.tern')]);
    expect(code).toBe(3);
    expect(stderr).toContain('expected its base "../base.tern"');
  });

  it('refuses a base of another model, and one for ste', async () => {
    const other = await cli([
      'train',
      ...data(),
      '--model',
      '36-9-4',
      '--base',
      at('base.tern'),
      '--out',
      at('x'),
    ]);
    expect(other.code).toBe(2);
    expect(other.stderr).toContain('"--base" expected the tensors of 36-9-4');
    const ste = await cli([
      'train',
      ...data(),
      '--method',
      'ste',
      '--base',
      at('base.tern'),
      '--out',
      at('x'),
    ]);
    expect(ste.code).toBe(2);
  });
});
