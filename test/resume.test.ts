/** Checks that a run may die at any moment and byte, and still ends in the artifact of the run that did not. */

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ofExamples } from '../cli/noise-step.js';
import { Run } from '../cli/run.js';
import { openArtifact } from '../src/artifact/artifact.js';
import { headerOfUnfinished, readCheckpoint } from '../src/artifact/checkpoint.js';
import { formatKey } from '../src/artifact/header.js';
import { readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { SignedCoder, TritCoder } from '../src/artifact/integer-coder.js';
import { BitModel, RangeEncoder } from '../src/artifact/range-coder.js';
import type { LogStep } from '../src/artifact/seed-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { type Dataset, loadIdxDirectory } from '../src/data/dataset.js';
import { TernseedError } from '../src/errors.js';
import type { NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import type { Key } from '../src/random/philox.js';
import { cli, cliJson, onlyObject, startCli, stepped } from './support/cli.js';
import { keptSteps } from './support/log-steps.js';
import { concat, headerPayload, joinSections, leb128, splitSections } from './support/sections.js';
import { tinyTrainingSet, writeTinyData } from './support/tiny-data.js';
import { tinyConfig, tinyOptions } from './support/tiny-runs.js';

let root: string;
let data: string;
let dataset: Dataset;
let wasm: Backend;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-resume-'));
  data = join(root, 'tiny');
  await writeTinyData(data);
  dataset = await loadIdxDirectory(data);
  wasm = await openWasm({ threads: 1 });
});
afterAll(async () => {
  await wasm.close();
  await rm(root, { recursive: true });
});

/** A path in a folder of its own. */
const fresh = async (name: string) => join(await mkdtemp(join(root, 'run-')), name);
const start = (config: NoiseStepConfig, out: string) =>
  Run.start(config, ofExamples(dataset, wasm), { backend: wasm, out });
const resume = (out: string) => Run.resume(ofExamples(dataset, wasm), { backend: wasm, out });

async function finished(run: Awaited<ReturnType<typeof start>>): Promise<Buffer> {
  while (run.trainer.step < run.trainer.config.steps) await run.next();
  await run.finish();
  await run.trainer.release();
  return readFile(run.out);
}

/** What is on the disk when a run dies after some steps. */
async function partialAfter(config: NoiseStepConfig, steps: number): Promise<Buffer> {
  const out = await fresh('dead.tern');
  const run = await start(config, out);
  while (run.trainer.step < steps) await run.next();
  await run.save();
  run.close();
  await run.trainer.release();
  return readFile(`${out}.partial`);
}

async function resumedFrom(partial: Uint8Array): Promise<Buffer> {
  const out = await fresh('again.tern');
  await writeFile(`${out}.partial`, partial);
  const bytes = await finished(await resume(out));
  expect(existsSync(`${out}.partial`)).toBe(false);
  return bytes;
}

describe.each([
  { artifact: 'log', perturb: 'weights', cut: 0 },
  { artifact: 'log', perturb: 'nodes', cut: 1 },
  { artifact: 'pool', perturb: 'nodes', cut: 1 },
  { artifact: 'packed', perturb: 'weights', cut: 0 },
] as const)('a $artifact of $perturb', (changes) => {
  const config: NoiseStepConfig = { ...tinyConfig, ...changes };

  it('stopped after any step, none and the last among them, ends in the same bytes', async () => {
    const whole = await finished(await start(config, await fresh('whole.tern')));
    for (let step = 0; step <= config.steps; step++) {
      expect(await resumedFrom(await partialAfter(config, step)), `after step ${step}`).toEqual(whole);
    }
  });

  it('stopped again and again ends in the same bytes', async () => {
    const whole = await finished(await start(config, await fresh('whole.tern')));
    const out = await fresh('again.tern');
    let run = await start(config, out);
    for (let step = 0; step < config.steps; step++) {
      await run.next();
      await run.save();
      run.close();
      await run.trainer.release();
      run = await resume(out);
    }
    expect(await finished(run)).toEqual(whole);
  });

  it('with a key that is not that of its seed, as 0.1 wrote it, keeps that key', async () => {
    // node -e "r = require('seedrandom')('tiny'); console.log(r.int32() >>> 0, r.int32() >>> 0)"
    const key: Key = [1_934_132_846, 3_153_143_620];
    const partial = await partialAfter(config, 0);
    const payload = headerPayload({ ...openHeader(partial).header, key: formatKey(key) });
    const old = joinSections(splitSections(partial).with(0, { type: 'H', payload }));
    const { header, weightsHash: hash } = openArtifact(await resumedFrom(old));
    expect(header.key).toBe(formatKey(key));
    const trainer = await NoiseStepTrainer.create(config, tinyTrainingSet, wasm, { key });
    while (trainer.step < config.steps) await trainer.next();
    expect(hash).toBe(await weightsHash(await trainer.placed.readWeights()));
    await trainer.placed.release();
  });

  it('whose header does not belong to its configuration is refused', async () => {
    const partial = await partialAfter(config, 5);
    const { header } = openHeader(partial);
    const lies = [
      ...[{ directions: [1, 1] }, { model: '36-9-4' }, { cut: config.cut + 1 }],
      { config: { ...header.config, directions: 20, pool: 60 } },
    ];
    for (const lie of lies) {
      const sections = splitSections(partial);
      const payload = headerPayload({ ...header, ...lie });
      const lying = joinSections(sections.with(0, { type: 'H', payload }));
      const error = await resumedFrom(lying).catch((reason) => reason);
      expect(error, JSON.stringify(lie)).toBeInstanceOf(TernseedError);
      expect((error as TernseedError).exitCode).toBe(3);
    }
  });
});

describe('an unfinished run of version 1', () => {
  it('that is a log is written anew and ends in the bytes of version 2', async () => {
    for (const perturb of ['weights', 'nodes'] as const) {
      const config: NoiseStepConfig = { ...tinyConfig, artifact: 'log', perturb };
      const whole = await finished(await start(config, await fresh('whole.tern')));
      const log = readUnfinishedLog(await partialAfter(config, 7));
      const { header } = log;
      const steps = keptSteps(log);
      const blocks = steps.map((step, i) => ({ type: 'L', payload: logBlockV1(i + 1, step) }));
      const old = joinSections([{ type: 'H', payload: headerPayload(header) }, ...blocks], 1);
      const same = steps.map((step) => ({ ...step, bytes: expect.any(Number) as number }));
      expect(readUnfinishedLog(old)).toMatchObject({ version: 1, steps: 7 });
      expect(keptSteps(readUnfinishedLog(old))).toMatchObject(same);
      expect(await resumedFrom(concat(old, Uint8Array.of(76, 9, 1)))).toEqual(whole); // and half a block
    }
  });

  it('that is a checkpoint goes on to the same bytes', async () => {
    const config: NoiseStepConfig = { ...tinyConfig, artifact: 'pool' };
    const whole = await finished(await start(config, await fresh('whole.tern')));
    const partial = await partialAfter(config, 5);
    const { header } = readCheckpoint(partial);
    const sections = splitSections(partial).with(0, { type: 'H', payload: headerPayload(header) });
    expect(await resumedFrom(joinSections(sections, 1))).toEqual(whole);
  });
});

/** A block of one step as version 1 wrote it. */
function logBlockV1(first: number, { nonzeros, loss, coefficients }: LogStep): Uint8Array {
  const encoder = new RangeEncoder();
  const trits = new TritCoder();
  encoder.encodeBit(new BitModel(), 1);
  encoder.encodeDirect(nonzeros, 21);
  new SignedCoder().encode(encoder, loss);
  for (const trit of coefficients) trits.encode(encoder, trit);
  return concat(leb128(first), leb128(1), encoder.finish());
}

describe('a log whose last steps were being written', () => {
  it('goes on from the last whole step, wherever it was cut', async () => {
    const config: NoiseStepConfig = { ...tinyConfig, artifact: 'log', perturb: 'weights' };
    const whole = await finished(await start(config, await fresh('whole.tern')));
    const partial = await partialAfter(config, config.steps);
    const twoSteps = splitSections(partial)
      .slice(-2)
      .reduce((sum, { payload }) => sum + payload.length + 6, 0);
    for (let cut = partial.length - twoSteps - 1; cut < partial.length; cut++) {
      expect(await resumedFrom(partial.subarray(0, cut)), `cut at byte ${cut}`).toEqual(whole);
    }
  });

  it('keeps the steps that it takes after that', async () => {
    const config: NoiseStepConfig = { ...tinyConfig, artifact: 'log', perturb: 'weights' };
    const partial = await partialAfter(config, 6);
    const out = await fresh('again.tern');
    await writeFile(`${out}.partial`, partial.subarray(0, -1));
    for (const step of [5, 6, 7]) {
      const run = await resume(out);
      expect(run.trainer.step).toBe(step);
      await run.next();
      run.close();
      await run.trainer.release();
    }
  });
});

describe('a process that is killed', () => {
  it('has no step twice in its metrics and none left out', async () => {
    const out = await fresh('killed.tern');
    const metrics = join(dirname(out), 'metrics.jsonl');
    const settings = [
      ...tinyOptions,
      '--artifact',
      'log',
      '--perturb',
      'weights',
      '--steps',
      '3000',
      '--metrics',
      metrics,
    ];
    const run = startCli(['train', 'idx', '--data', data, ...settings, '--out', out]);
    await stepped(run, metrics, 100);
    run.child.kill('SIGKILL');
    expect((await run.ended).signal).toBe('SIGKILL');
    await cliJson(['train', 'idx', '--data', data, '--resume', out, '--metrics', metrics]);
    const lines = (await readFile(metrics, 'utf8')).trimEnd().split('\n');
    const steps = lines.map((line) => (JSON.parse(line) as { step: number }).step);
    const told = { lines: steps.length, different: new Set(steps).size, last: steps.at(-1) };
    expect(told).toEqual({ lines: 3000, different: 3000, last: 3000 });
  });

  it('after its last step still ends in the same bytes and tells the same figures', async () => {
    const settings = [...tinyOptions, '--artifact', 'log', '--steps', String(tinyConfig.steps)];
    const out = await fresh('whole.tern');
    const whole = await cliJson(['train', 'idx', '--data', data, ...settings, '--out', out]);
    const again = await fresh('again.tern');
    await writeFile(
      `${again}.partial`,
      await partialAfter({ ...tinyConfig, artifact: 'log' }, tinyConfig.steps),
    );
    const { code, stdout, stderr } = await cli(['train', 'idx', '--data', data, '--resume', again, '--json']);
    expect(code, stderr).toBe(0);
    const { steps, accuracy, forwardPasses, weightsHash } = whole;
    expect(onlyObject(stdout)).toMatchObject({ steps, accuracy, forwardPasses, weightsHash });
    expect(await readFile(again)).toEqual(await readFile(out));
  });
});

/** The header of what a run leaves behind. */
function openHeader(partial: Uint8Array) {
  return headerOfUnfinished(partial).kind === 'log' ? readUnfinishedLog(partial) : readCheckpoint(partial);
}
