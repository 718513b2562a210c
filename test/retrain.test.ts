/**
 * `verify --retrain`: honest artifacts pass, and logs that were forged so well that everything else
 * passes are found when the forged step is among those that are recomputed.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chooseSteps, retrain, stepsToRetrain } from '../cli/retrain.js';
import { encodePacked, encodeSeedLog, encodeSeedPool, openArtifact } from '../src/artifact/artifact.js';
import { type LogStep, lossOfUnits } from '../src/artifact/seed-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { type Dataset, loadIdxDirectory } from '../src/data/dataset.js';
import { ConfigError, InputError } from '../src/errors.js';
import type { NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import { reference } from './support/backends.js';
import { cli, cliJson, onlyObject } from './support/cli.js';
import { tinyTrainingSet, writeTinyData } from './support/tiny-data.js';
import { type TrainedRun, tinyRun } from './support/tiny-runs.js';

const STEPS = 12;

let folder: string;
let directory: string;
let data: Dataset;
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-retrain-'));
  directory = at('tiny');
  await writeTinyData(directory);
  data = await loadIdxDirectory(directory);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A run's header with the hash of the data that it was trained on. */
const headerOf = ({ header }: TrainedRun) => ({ ...header, data: { name: data.name, hash: data.hash } });

const check = (bytes: Uint8Array, steps: string, seed = 'a') => {
  const artifact = openArtifact(bytes);
  return retrain(artifact, stepsToRetrain(steps, artifact), seed, directory, reference, 'x.tern');
};

/**
 * A log of which one step was changed, with checksums and final hash as they should be.
 * @param trained - whether the steps after it were trained from there, or are those of the honest run
 */
async function forge(run: TrainedRun, step: number, change: (honest: LogStep) => LogStep, trained: boolean) {
  const config = run.header.config as unknown as NoiseStepConfig;
  const trainer = await NoiseStepTrainer.create(config, tinyTrainingSet, reference);
  const steps: LogStep[] = [];
  for (const honest of run.steps) {
    if (trained && steps.length >= step) {
      const { log, lossUnits } = await trainer.next();
      steps.push({
        ...(log as NonNullable<typeof log>),
        seedStep: steps.length + 1,
        loss: lossOfUnits(lossUnits),
      });
    } else {
      const entry = steps.length === step - 1 ? change(honest) : honest;
      await trainer.replay(entry);
      steps.push(entry);
    }
  }
  const hash = await weightsHash(await trainer.placed.readWeights());
  return encodeSeedLog(headerOf(run), steps, { steps: STEPS, weightsHash: hash });
}

/** Turns one coefficient, and nothing else. */
const turned = (honest: LogStep): LogStep => {
  const coefficients = honest.coefficients.slice();
  coefficients[5] = coefficients[5] === 1 ? -1 : coefficients[5] + 1;
  return { ...honest, coefficients };
};

describe('an honest artifact', () => {
  const LOGS = [
    { artifact: 'log', perturb: 'weights', cut: 0 },
    { artifact: 'log', perturb: 'nodes', cut: 1 },
  ] as const;

  it.each(LOGS)('of a $artifact by $perturb passes, however many steps are recomputed', async (changes) => {
    const run = await tinyRun(changes, reference);
    const bytes = encodeSeedLog(headerOf(run), run.steps, { steps: STEPS, weightsHash: run.hash });
    for (const steps of ['1', '2', '5', '12', '1000', 'all']) {
      const result = await check(bytes, steps);
      expect(result, result.detail).toMatchObject({ ok: true });
      expect(result.steps.length).toBe(Math.min(STEPS, Number(steps) || STEPS));
    }
    expect((await check(bytes, '3')).detail).toMatch(
      /^3 of 12 steps \(1, \d+, 12\) as the data give them.* 25\.00%$/,
    );
  });

  it.each(['pool', 'packed'] as const)(
    'of a %s passes when all is trained again, and is told so',
    async (artifact) => {
      const run = await tinyRun({ artifact }, reference);
      const outcome = { steps: STEPS, weightsHash: run.hash };
      const weights = run.history.at(-1) as Int8Array;
      const bytes =
        artifact === 'pool'
          ? encodeSeedPool(headerOf(run), await run.trainer.poolCoefficients(), outcome)
          : encodePacked(headerOf(run), weights, outcome);
      expect(await check(bytes, 'all')).toMatchObject({
        ok: true,
        detail: 'all 12 steps give these weights',
      });
      expect(() => stepsToRetrain('3', openArtifact(bytes))).toThrow(ConfigError);
      expect(() => stepsToRetrain('3', openArtifact(bytes))).toThrow(
        `"--retrain" expected all, got 3: a ${artifact} keeps no history`,
      );
    },
  );

  it('that a log was exported to passes too, and so does a step of it', async () => {
    const run = await tinyRun({ artifact: 'log' }, reference);
    for (const steps of [0, 4, STEPS]) {
      const weights = run.history[steps];
      const outcome = { steps, weightsHash: await weightsHash(weights) };
      expect(await check(encodePacked(headerOf(run), weights, outcome), 'all')).toMatchObject({ ok: true });
    }
  });
});

describe.each(['weights', 'nodes'] as const)('a log by %s of which one coefficient was turned', (perturb) => {
  const STEP = 7;

  it('is found when its step is recomputed, and only then', async () => {
    const run = await tinyRun({ artifact: 'log', perturb }, reference);
    const bytes = await forge(run, STEP, turned, true);
    const seeds = Array.from({ length: 20 }, (_, i) => `seed ${i}`);
    const outcomes = new Set<boolean>();
    for (const seed of seeds) {
      const among = chooseSteps(STEPS, 6, seed).includes(STEP);
      const result = await check(bytes, '6', seed);
      expect(result.ok, result.detail).toBe(!among);
      if (among)
        expect(result.detail).toMatch(/^step 7: 1 of 16 coefficients are not those that the data give/);
      outcomes.add(result.ok);
    }
    expect([...outcomes].sort()).toEqual([false, true]);
    expect(await check(bytes, 'all')).toMatchObject({ ok: false });
  });

  it('is found by any later step as well when the rest was not trained from there', async () => {
    const run = await tinyRun({ artifact: 'log', perturb }, reference);
    const result = await check(await forge(run, 1, turned, false), '2');
    expect(result).toMatchObject({ ok: false });
  });
});

describe('a log that lies', () => {
  it.each([
    ['in a loss', (honest: LogStep) => ({ ...honest, loss: honest.loss + 1 }), 'step 7: expected a loss of'],
    [
      'in the nonzeros',
      (honest: LogStep) => ({ ...honest, nonzeros: 4 }),
      'step 7: expected 8 nonzeros, as the data give',
    ],
    [
      'with nonzeros of no stage',
      (honest: LogStep) => ({ ...honest, nonzeros: 5 }),
      'step 7: expected one of 8,4 nonzeros, got 5',
    ],
  ] as const)('%s is found', async (_, change, reason) => {
    const run = await tinyRun({ artifact: 'log', nonzerosBelow: [0.01] }, reference);
    // A trainer cannot go on from nonzeros of no stage.
    const trained = (change(run.steps[6]).nonzeros as number) !== 5;
    const { ok, detail } = await check(await forge(run, 7, change, trained), 'all');
    expect(detail).toContain(reason);
    expect(ok).toBe(false);
  });

  it('in its key or its configuration is found', async () => {
    const run = await tinyRun({ artifact: 'log' }, reference);
    const outcome = { steps: STEPS, weightsHash: run.hash };
    for (const changes of [{ gain: 26 }, { config: { ...run.header.config, cut: 2 } }]) {
      const bytes = encodeSeedLog({ ...headerOf(run), ...changes }, run.steps, outcome);
      expect(await check(bytes, '3')).toMatchObject({
        ok: false,
        detail: 'the header is not that of its configuration',
      });
    }
    const strange = { ...headerOf(run), key: '0'.repeat(16) };
    expect(await check(encodeSeedLog(strange, run.steps, outcome), '3')).toMatchObject({
      ok: false,
      detail: expect.stringContaining('step 1: '),
    });
    const seeded = { ...headerOf(run), config: { ...run.header.config, batch: 31 } };
    expect(await check(encodeSeedLog(seeded, run.steps, outcome), '3')).toMatchObject({ ok: false });
    const odd = { ...headerOf(run), config: { ...run.header.config, batch: 0 } };
    await expect(check(encodeSeedLog(odd, run.steps, outcome), '3')).rejects.toThrow(InputError);
  });
});

describe('a pool of which one coefficient was changed', () => {
  it('is found', async () => {
    const run = await tinyRun({ artifact: 'pool' }, reference);
    const coefficients = await run.trainer.poolCoefficients();
    coefficients[3] += coefficients[3] > 0 ? -1 : 1;
    const bytes = encodeSeedPool(headerOf(run), coefficients, { steps: STEPS, weightsHash: run.hash });
    const { ok, detail } = await check(bytes, 'all');
    expect(detail).toContain('after all 12 steps, 1 of 48 coefficients are not those that the data give');
    expect(ok).toBe(false);
  });
});

describe('the steps that are recomputed', () => {
  it('are the ends and as many others as asked for, other ones for other seeds', () => {
    expect(chooseSteps(1550, 1, 'a').length).toBe(1);
    expect(chooseSteps(1550, 2, 'a')[1]).toBe(1550);
    for (const wanted of [3, 10, 1549]) {
      const steps = chooseSteps(1550, wanted, 'a');
      expect(new Set(steps).size).toBe(wanted);
      expect([steps[0], steps.at(-1)]).toEqual([1, 1550]);
      expect(steps).toEqual(chooseSteps(1550, wanted, 'a'));
      expect(steps.every((step, i) => i === 0 || step > steps[i - 1])).toBe(true);
    }
    expect(chooseSteps(1550, 10, 'a')).not.toEqual(chooseSteps(1550, 10, 'b'));
    expect(chooseSteps(3, 5, 'a')).toEqual([1, 2, 3]);
  });

  it('are any of them as often as any other', () => {
    const times = new Array<number>(9).fill(0);
    for (let seed = 0; seed < 900; seed++)
      for (const step of chooseSteps(8, 3, String(seed))) times[step] += 1;
    expect(times[1]).toBe(900);
    expect(times[8]).toBe(900);
    // 900 draws of 6: 150 each, standard deviation 11
    for (const interior of times.slice(2, 8)) expect(Math.abs(interior - 150)).toBeLessThan(45);
  });
});

describe('verify on the command line', () => {
  it('passes a forged log without --retrain, and fails it with exit code 3 when the step is among those', async () => {
    const run = await tinyRun({ artifact: 'log' }, reference);
    await writeFile(at('forged.tern'), await forge(run, 7, turned, true));
    const verify = ['verify', at('forged.tern')];
    expect(await cliJson(verify)).toMatchObject({ ok: true });
    const seed = [...'abcdefghijklmnopqrstuvwxyz'].find((one) =>
      chooseSteps(STEPS, 6, one).includes(7),
    ) as string;
    const more = ['--retrain', '6', '--data', directory, '--retrain-seed', seed];
    const { code, stdout, stderr } = await cli([...verify, ...more, '--json']);
    expect(code).toBe(3);
    expect(stderr).toContain('did not pass: step 7: 1 of 16 coefficients');
    const told = onlyObject(stdout) as { checks: { name: string; ok: boolean }[] };
    expect(told).toMatchObject({ ok: false, retrain: { steps: chooseSteps(STEPS, 6, seed), seed } });
    expect(told.checks.map(({ name, ok }) => [name, ok])).toEqual([
      ['structure', true],
      ['checksums', true],
      ['weights', true],
      ['retrain', false],
    ]);
  });

  it('draws other steps each time, and says what they were', async () => {
    const run = await tinyRun({ artifact: 'log' }, reference);
    const outcome = { steps: STEPS, weightsHash: run.hash };
    await writeFile(at('honest.tern'), encodeSeedLog(headerOf(run), run.steps, outcome));
    const args = ['verify', at('honest.tern'), '--retrain', '5', '--data', directory];
    const told = await cliJson(args);
    const { seed, steps } = told.retrain as { seed: string; steps: number[] };
    expect(steps).toEqual(chooseSteps(STEPS, 5, seed));
    const { stdout } = await cli(args);
    expect(stdout).toMatch(/✓ retrain {4}5 of 12 steps/);
    const [, second] = stdout.match(/--retrain-seed ([0-9a-f]{16})/) as RegExpMatchArray;
    expect(second).not.toBe(seed);
  });

  it('refuses what cannot be recomputed', async () => {
    const run = await tinyRun({ artifact: 'log' }, reference);
    await writeFile(at('foreign.tern'), run.bytes);
    const config = { method: 'ste' };
    const weights = run.history.at(-1) as Int8Array;
    const ste = encodePacked({ ...run.header, config }, weights, { steps: STEPS, weightsHash: run.hash });
    await writeFile(at('ste.tern'), ste);
    const retraining = (name: string, steps: string) => [
      'verify',
      at(name),
      '--retrain',
      steps,
      '--data',
      directory,
    ];
    for (const [args, code, reason] of [
      [['verify', at('foreign.tern'), '--retrain', '3'], 2, '"--retrain" expected "--data"'],
      [['verify', at('foreign.tern'), '--data', directory], 2, '"--data" is for "--retrain"'],
      [retraining('foreign.tern', '0'), 2, '"--retrain" expected a positive integer or all, got "0"'],
      [retraining('ste.tern', 'all'), 2, '"--retrain" expected a run of noise-step'],
      [retraining('foreign.tern', '3'), 3, 'expected the data it was trained on'],
    ] as const) {
      const ended = await cli(args);
      expect(ended.stderr).toContain(reason);
      expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    }
  });
});
