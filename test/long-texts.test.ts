/** Texts of which a part says enough: what training is judged by, progress in every phase, and giving up in any. */

import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { batchOfWindows } from '../src/backend/batch.js';
import { evaluateText } from '../src/backend/evaluate.js';
import { evaluateExamples } from '../src/backend/evaluate.js';
import type { Placed } from '../src/backend/backend.js';
import { JUDGED_BYTES_MAX, loadText } from '../src/data/text.js';
import { ConfigError } from '../src/errors.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { transformerOf } from '../src/ternary/builders/transformer.js';
import { reference } from './support/backends.js';
import { cli, cliJson, startCli } from './support/cli.js';
import { tinyTrainingSet } from './support/tiny-data.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-long-texts-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a text that is longer than the limit', () => {
  const text = randomText(1, 400);
  let placed: Placed;
  beforeAll(async () => {
    const model = transformerOf(SMALL_SHAPE); // of a context of 16 bytes
    placed = await reference.place(model, { batch: 4 });
    await placed.writeWeights(randomValues(model, 5));
  });

  it('is predicted in windows that lie evenly over it', async () => {
    const score = await evaluateText(placed, text, { windows: 4, stride: 16, most: 100 });
    expect(score).toMatchObject({ examples: 96, total: 399 }); // six of 25 windows
    let units = 0;
    for (const window of [0, 4, 8, 12, 16, 20]) {
      placed.load(batchOfWindows(text.slice(16 * window, 16 * window + 17), 16));
      units += (await placed.evaluate()).losses.reduce((sum, loss) => sum + loss, 0);
    }
    expect(score.bitsPerByte).toBeCloseTo(units / 96 / 65_536, 10);
  });

  it('is predicted whole where it is not longer, with the same score', async () => {
    const whole = await evaluateText(placed, text, { windows: 4, stride: 16 });
    expect(whole).toMatchObject({ examples: 399, total: 399 });
    expect(await evaluateText(placed, text, { windows: 3, stride: 16, most: 399 })).toEqual(whole);
    await expect(evaluateText(placed, text, { windows: 4, stride: 16, most: 15 })).rejects.toThrow(
      ConfigError,
    );
  });

  it('can be given up, with progress in bytes', async () => {
    const enough = new AbortController();
    const told: [number, number][] = [];
    const onProgress = (done: number, total: number) => {
      told.push([done, total]);
      enough.abort(new Error('enough'));
    };
    const long = randomText(1, 40_000);
    const watch = { signal: enough.signal, onProgress };
    await expect(evaluateText(placed, long, { windows: 4, stride: 16, watch })).rejects.toThrow('enough');
    expect(told).toHaveLength(1);
    expect(told[0][1]).toBe(39_999);
    expect(told[0][0]).toBeLessThan(39_999);
    const examples = await reference.place(
      networkOf([36, 8, 4], { centred: true, gain: 25, logitScale: 480 }),
      {
        batch: 1,
      },
    );
    await expect(evaluateExamples(examples, tinyTrainingSet, watch)).rejects.toThrow('enough');
  });

  it('is read with progress, and hashed as it comes', async () => {
    const bytes = randomText(10, 1_000_000);
    await writeFile(at('ten.txt'), bytes);
    const told: [number, number][] = [];
    const { hash } = await loadText(at('ten.txt'), { onProgress: (done, total) => told.push([done, total]) });
    expect(hash).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(told.length).toBeGreaterThan(2);
    expect(told.at(-1)).toEqual([10_000_000, 10_000_000]);
    await expect(loadText(at('ten.txt'), { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
  });
});

describe('the command line', () => {
  const shape = [
    '--blocks',
    '1',
    '--width',
    '16',
    '--heads',
    '2',
    '--key-heads',
    '2',
    '--hidden',
    '16',
    '--context',
    '16',
  ];
  const train = ['train', 'text', '--method', 'noise-step', ...shape, '--steps', '1', '--batch', '2'];
  beforeAll(async () => {
    await writeFile(at('long.txt'), randomText(1, 3_000_000));
  });

  it('judges training by a part of a long text, says so, and evaluates all of it or as much as is said', async () => {
    const args = [...train, '--text', at('long.txt')];
    const trained = await cliJson([...args, '--out', at('a.tern')]);
    expect(trained).toMatchObject({ examples: JUDGED_BYTES_MAX, total: 299_999 });
    const { stdout } = await cli([...args, '--out', at('b.tern')]);
    expect(stdout).toMatch(/validation +\S+ bits a byte \(\S+ nats\) over 262,144 of 299,999 bytes/);
    const data = ['--data', at('long.txt')];
    const part = await cliJson(['eval', at('a.tern'), ...data, '--limit', `${JUDGED_BYTES_MAX}`]);
    expect(part).toMatchObject({ examples: JUDGED_BYTES_MAX, bitsPerByte: trained.bitsPerByte });
    expect(await cliJson(['eval', at('a.tern'), ...data])).toMatchObject({
      examples: 299_999,
      total: 299_999,
    });
    const refused = await cli(['eval', at('a.tern'), ...data, '--limit', '15']);
    expect(refused.stderr).toContain(
      '"--limit" expected a number of bytes from 16, the context, on, got "15"',
    );
    expect(refused.code).toBe(2);
  });

  it('shows how far an evaluation is, and stops at once when it is interrupted', async () => {
    await writeFile(at('huge.txt'), randomText(1, 40_000_000));
    await cliJson([...train, '--text', at('long.txt'), '--out', at('c.tern')]);
    const { child, ended, shown } = startCli([
      'eval',
      at('c.tern'),
      '--data',
      at('huge.txt'),
      '--split',
      'train',
    ]);
    await shown('evaluating: ');
    child.kill('SIGINT');
    const { code, signal, stderr, stdout } = await ended;
    expect(stderr).toMatch(/evaluating: [\d,]+ of 35,999,999 bytes \(\d+\.\d+%\)/);
    expect({ interrupted: signal === 'SIGINT' || code === 130, stdout }).toEqual({
      interrupted: true,
      stdout: '',
    });
  });
});
