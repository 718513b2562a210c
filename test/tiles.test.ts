/** Checks that some rows of a tensor, rebuilt without the rest, are that part of the whole. */

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeSeedLog, encodeSeedPool, openArtifact, type SeedPool } from '../src/artifact/artifact.js';
import { rebuild, rebuildRows, rebuildTensor } from '../src/artifact/rebuild.js';
import type { LogStep } from '../src/artifact/seed-log.js';
import { packWeights } from '../src/artifact/weights-hash.js';
import { ConfigError } from '../src/errors.js';
import { reference } from './support/backends.js';
import { cli, cliJson } from './support/cli.js';
import { type TrainedRun, tinyRun } from './support/tiny-runs.js';

const KINDS = [
  { artifact: 'log', perturb: 'weights', cut: 0 },
  { artifact: 'log', perturb: 'nodes', cut: 1 },
  { artifact: 'pool', perturb: 'nodes', cut: 1 },
  { artifact: 'packed', perturb: 'nodes', cut: 1 },
] as const;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-tiles-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(KINDS)('rows of a $artifact of $perturb', (changes) => {
  let run: TrainedRun;
  beforeAll(async () => {
    run = await tinyRun(changes, reference);
  });

  it('are those rows of the whole, every range of every tensor', () => {
    const artifact = openArtifact(run.bytes);
    const whole = run.history.at(-1) as Int8Array;
    for (const { name, offset, rows, columns } of artifact.network.tensors) {
      for (let from = 0; from < rows; from++) {
        for (let to = from + 1; to <= rows; to++) {
          const part = whole.slice(offset + from * columns, offset + to * columns);
          expect(rebuildRows(artifact, name, { from, to })).toEqual(part);
        }
      }
    }
  });

  it('that are none are refused, without blaming the file', () => {
    const artifact = openArtifact(run.bytes);
    for (const [from, to] of [
      [0, 9],
      [-1, 2],
      [3, 3],
      [4, 2],
      [0.5, 2],
      [0, Number.NaN],
    ] as const) {
      expect(() => rebuildRows(artifact, 'layer0.weight', { from, to })).toThrow(ConfigError);
    }
    expect(() => rebuildRows(artifact, 'layer9.weight', { from: 0, to: 1 })).toThrow(ConfigError);
  });

  it('are written by replay --rows, the last of the range among them', async () => {
    const [file, out] = [join(folder, 'a.tern'), join(folder, 'rows.trits')];
    await writeFile(file, run.bytes);
    const args = ['replay', file, '--tensor', 'layer0.weight', '--rows', '2-5', '--out', out, '--force'];
    expect(await cliJson(args)).toMatchObject({ tensor: 'layer0.weight', rows: [2, 5], weights: 4 * 36 });
    const { tensors } = openArtifact(run.bytes).network;
    const part = (run.history.at(-1) as Int8Array).slice(2 * 36, 6 * 36);
    const plain = packWeights(part, [{ ...tensors[0], rows: 4 }]);
    expect(new Uint8Array(await readFile(out))).toEqual(plain);
  });
});

it('replay --rows says what is wrong with a range', async () => {
  const file = join(folder, 'b.tern');
  await writeFile(file, (await tinyRun(KINDS[2], reference)).bytes);
  for (const [args, message] of [
    [['--rows', '0-1'], '"--rows" is of one tensor: name it with "--tensor"'],
    [['--tensor', 'layer0.weight', '--rows', 'a'], '"--rows" expected a range such as 0-15, got "a"'],
    [['--tensor', 'layer0.weight', '--rows', '3-2'], '"--rows" expected a range such as 0-15, got "3-2"'],
    [['--tensor', 'layer0.weight', '--rows', '0-8'], 'a range within the 8 rows of layer0.weight, got "0…8"'],
  ] as const) {
    const { code, stderr } = await cli(['replay', file, ...args]);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  }
});

describe('tiles of any shape', () => {
  const outcome = { steps: 0, weightsHash: '0'.repeat(64) };

  it('are gathered and scattered alike, from dense steps and from sparse ones', async () => {
    const { header, steps } = await tinyRun(KINDS[1], reference);
    const log = (nonzeros: number): LogStep[] => steps.map((step) => ({ ...step, nonzeros }));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), fc.nat(7), fc.nat(7), async (nonzeros, a, b) => {
        const bytes = encodeSeedLog(header, log(nonzeros), { ...outcome, steps: steps.length });
        const artifact = openArtifact(bytes);
        const [from, to] = [Math.min(a, b), Math.max(a, b) + 1];
        const whole = await rebuild(artifact, reference);
        expect(rebuildRows(artifact, 'layer0.weight', { from, to })).toEqual(whole.slice(from * 36, to * 36));
        expect(rebuildTensor(artifact, 'layer1.weight')).toEqual(whole.slice(8 * 36));
      }),
      { numRuns: 60 },
    );
  });

  it('of a pool take work in proportion to their rows', async () => {
    const { header } = await tinyRun(KINDS[2], reference);
    const wide = { ...header, model: '256-2048-4', directions: [4096, 8], gain: 25, logitScale: 1 };
    const coefficients = Int16Array.from({ length: 4104 }, (_, i) => (i % 5) - 2);
    const pool = openArtifact(encodeSeedPool(wide, coefficients, outcome)) as SeedPool;
    const multiplications = (from: number, to: number) => {
      const { imul } = Math; // what a draw of Philox is made of
      let calls = 0;
      Math.imul = (x, y) => ((calls += 1), imul(x, y));
      rebuildRows(pool, 'layer0.weight', { from, to });
      Math.imul = imul;
      return calls;
    };
    expect(multiplications(1000, 1016)).toBeLessThan(multiplications(0, 2048) / 64); // 128 times fewer rows
  });
});
