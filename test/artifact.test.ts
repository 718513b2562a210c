/** Checks that every kind of artifact holds exactly what was trained: whole, by tensor, by step, and cut short. */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { encodePacked, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import {
  encodeCheckpoint,
  type PoolArrays,
  headerOfUnfinished,
  readCheckpoint,
} from '../src/artifact/checkpoint.js';
import { graphOf } from '../src/ternary/builders/index.js';
import { rebuild, rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import { BLOCK_STEPS, encodeLogBlock, type LogStep, type ReadStep } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { keptSteps } from './support/log-steps.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { ArtifactError, ConfigError } from '../src/errors.js';
import { checkConfig, type NoiseStepConfig } from '../src/perturb/config.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import { type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../src/ternary/precision.js';
import { fastBackends, reference } from './support/backends.js';
import { tinyTrainingSet } from './support/tiny-data.js';
import { type TrainedRun, tinyConfig, tinyRun } from './support/tiny-runs.js';

const LOGS: readonly Partial<NoiseStepConfig>[] = [0, 1].flatMap((cut) => [
  { cut, artifact: 'log', perturb: 'weights' },
  { cut, artifact: 'log', perturb: 'nodes' },
]);
const POOLS: readonly Partial<NoiseStepConfig>[] = [0, 1].flatMap((cut) => [
  { cut, artifact: 'pool', perturb: 'nodes' },
  { cut, artifact: 'pool', perturb: 'weights' },
]);
const PACKED: readonly Partial<NoiseStepConfig>[] = [0, 1].map((cut) => ({
  cut,
  artifact: 'packed',
  perturb: 'nodes',
}));

let wasm: Backend;
beforeAll(async () => {
  wasm = await openWasm({ threads: 1 });
});
afterAll(() => wasm.close());

describe.each([...LOGS, ...POOLS, ...PACKED])('a $artifact artifact ($perturb, cut $cut)', (changes) => {
  let run: TrainedRun;
  beforeAll(async () => {
    run = await tinyRun(changes, wasm);
  });

  it('opens as what was written', async () => {
    const artifact = openArtifact(run.bytes);
    expect(artifact).toMatchObject({ kind: changes.artifact, version: 2, bytes: run.bytes.length });
    expect(artifact).toMatchObject({ steps: 12, weightsHash: run.hash, header: run.header });
    if (artifact.kind === 'log') expect(stepsOf(artifact)).toEqual(run.steps);
    if (artifact.kind === 'pool') expect(artifact.coefficients).toEqual(await run.trainer.poolCoefficients());
    if (artifact.kind === 'packed') expect(artifact.weights).toEqual(run.history.at(-1));
  });

  it('has moved weights, and its hash is SHA-256 over the trits, five a byte', () => {
    const trits = run.history.at(-1) as Int8Array;
    expect(trits).not.toEqual(run.history[0]);
    expect(openArtifact(run.bytes).weightsHash).toBe(hashOf(trits));
  });

  it('rebuilds on every backend to the weights that training had', async () => {
    const backends = [reference, ...(await Promise.all(fastBackends.map(([, open]) => open())))];
    for (const backend of backends) {
      expect(await rebuildVerified(openArtifact(run.bytes), backend)).toEqual(run.history.at(-1));
      await backend.close();
    }
  });

  it('rebuilds each tensor alone as that part of the whole', () => {
    const artifact = openArtifact(run.bytes);
    for (const { name, offset, rows, columns } of artifact.network.tensors) {
      const part = run.history.at(-1)?.slice(offset, offset + rows * columns);
      expect(rebuildTensor(artifact, name)).toEqual(part);
    }
  });

  it('becomes packed trits with the same hash', async () => {
    const artifact = openArtifact(run.bytes);
    const trits = await rebuildVerified(artifact, reference);
    const packed = openArtifact(encodePacked(artifact.header, trits, artifact));
    expect(packed).toMatchObject({ kind: 'packed', steps: 12, weightsHash: run.hash });
    expect(await rebuildVerified(packed, reference)).toEqual(run.history.at(-1));
  });

  it('opens from a Buffer, as `readFile` gives it, the same', () => {
    expect(openArtifact(Buffer.from(run.bytes))).toMatchObject({
      kind: changes.artifact,
      weightsHash: run.hash,
    });
  });

  it('refuses a tensor and a step that it has not, without blaming the file', async () => {
    const artifact = openArtifact(run.bytes);
    expect(() => rebuildTensor(artifact, 'layer9.weight')).toThrow('layer0.weight, layer1.weight');
    for (const step of [-1, 1.5, 13, Number.NaN]) {
      expect(() => rebuildTensor(artifact, 'layer0.weight', step)).toThrow(ConfigError);
      await expect(rebuild(artifact, reference, step)).rejects.toThrow(ConfigError);
    }
  });
});

describe.each(LOGS)('a seed log ($perturb, cut $cut)', (changes) => {
  let run: TrainedRun;
  beforeAll(async () => {
    run = await tinyRun(changes, wasm);
  });

  it('has had sparser directions as the loss fell, so that replay must follow the schedule', () => {
    expect(new Set(run.steps.map(({ nonzeros }) => nonzeros))).toEqual(new Set([8, 4]));
  });

  it('replayed to any step has the weights of that step, whole and by tensor', async () => {
    const artifact = openArtifact(run.bytes);
    for (const [step, trits] of run.history.entries()) {
      expect(await rebuild(artifact, reference, step)).toEqual(trits);
      expect(await rebuild(artifact, wasm, step)).toEqual(trits);
      for (const { name, offset, rows, columns } of artifact.network.tensors) {
        expect(rebuildTensor(artifact, name, step)).toEqual(trits.slice(offset, offset + rows * columns));
      }
    }
  });

  it('unfinished and cut at any byte, keeps all whole steps and only those', () => {
    const parts = unfinished(run);
    const whole = joined(parts);
    const ends = parts.map((_, index) => joined(parts.slice(0, index + 1)).length);
    for (let cut = 0; cut <= whole.length; cut++) {
      const kept = ends.filter((end) => end <= cut).length - 1;
      if (kept < 0) {
        expect(() => readUnfinishedLog(whole.subarray(0, cut))).toThrow(ArtifactError);
        continue;
      }
      const log = readUnfinishedLog(whole.subarray(0, cut));
      const { header, length } = log;
      expect(asWritten(keptSteps(log))).toEqual(run.steps.slice(0, kept));
      expect(length).toBe(ends[kept]);
      expect(header).toEqual(run.header);
    }
  });

  it('unfinished with any byte damaged, gives whole steps from the first on or an ArtifactError', () => {
    const whole = joined(unfinished(run));
    for (let at = 0; at < whole.length; at++) {
      const damaged = whole.slice();
      damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
      try {
        const steps = keptSteps(readUnfinishedLog(damaged));
        expect(asWritten(steps)).toEqual(run.steps.slice(0, steps.length));
        expect(steps.length).toBeLessThan(run.steps.length);
      } catch (error) {
        expect(error).toBeInstanceOf(ArtifactError);
      }
    }
  });
});

test('a log of several blocks is replayed to the steps around a block’s end', async () => {
  const run = await tinyRun({ artifact: 'log', steps: BLOCK_STEPS + 9, directions: 8, batch: 8 }, wasm);
  const artifact = openArtifact(run.bytes);
  expect(artifact.sections.map(({ name }) => name)).toEqual(['header', 'log', 'log', 'end']);
  for (const step of [BLOCK_STEPS - 1, BLOCK_STEPS, BLOCK_STEPS + 1, BLOCK_STEPS + 9]) {
    expect(await rebuild(artifact, wasm, step)).toEqual(run.history[step]);
  }
});

test('no configuration is accepted whose log could not be read', () => {
  const log = { ...tinyConfig, artifact: 'log', perturb: 'weights', directions: 1 } as const;
  const wide = { ...log, model: '36-30000-4', logitScale: 1 };
  const nonzeros = (most: number) => ({ ...wide, nonzeros: [most], nonzerosBelow: [] });
  expect(() => checkConfig(nonzeros(2 ** 20))).not.toThrow();
  expect(() => checkConfig(nonzeros(2 ** 20 + 1))).toThrow(ConfigError);
});

describe('a checkpoint', () => {
  let run: TrainedRun;
  let size: number;
  beforeAll(async () => {
    run = await tinyRun({ artifact: 'pool' }, wasm);
    size = run.header.directions.reduce((sum, count) => sum + count, 0);
  });

  it('gives back every bit of any state', () => {
    const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
    const states = fc.tuple(bytesOf(8 * size), bytesOf(8 * size), bytesOf(8 * size), bytesOf(4 * size));
    fc.assert(
      fc.property(fc.nat(10_000_000), states, (step, [values, mean, square, updates]) => {
        const bytes = encodeCheckpoint(run.header, {
          step,
          pool: {
            values: new Float64Array(values.buffer),
            mean: new Float64Array(mean.buffer),
            square: new Float64Array(square.buffer),
            updates: new Uint32Array(updates.buffer),
          },
        });
        for (const read of [readCheckpoint(bytes), readCheckpoint(Buffer.from(bytes))]) {
          expect(read).toMatchObject({ header: { ...run.header, kind: 'checkpoint' }, step });
          const pool = read.pool as PoolArrays;
          const arrays = [pool.values, pool.mean, pool.square, pool.updates];
          // As bytes, because −0 and the many NaN are different bits.
          const bits = arrays.map(
            ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
          );
          expect(bits).toEqual([values, mean, square, updates]);
        }
      }),
    );
  });

  it.each(POOLS)('($perturb, cut $cut) lets training go on to the same weights', async (changes) => {
    const whole = await tinyRun(changes, wasm);
    const config = { ...tinyConfig, ...changes };
    const first = await NoiseStepTrainer.create(config, tinyTrainingSet, wasm);
    for (let step = 0; step < 5; step++) await first.next();
    const state = await first.state();
    const bytes = encodeCheckpoint(whole.header, state);

    const second = await NoiseStepTrainer.create(config, tinyTrainingSet, wasm);
    await second.restore(readCheckpoint(bytes));
    expect(await second.placed.readWeights()).toEqual(whole.history[5]);
    while (second.step < config.steps) {
      await second.next();
      expect(await second.placed.readWeights()).toEqual(whole.history[second.step]);
    }
    expect(await second.poolCoefficients()).toEqual(await whole.trainer.poolCoefficients());
  });

  it('is no artifact, and a pool or packed artifact is no unfinished run', async () => {
    const state = await run.trainer.state();
    expect(() => openArtifact(encodeCheckpoint(run.header, state))).toThrow(ArtifactError);
    expect(() => headerOfUnfinished(run.bytes)).toThrow(ArtifactError);
    expect(() =>
      headerOfUnfinished(encodePacked(run.header, run.history[0] as Int8Array, openArtifact(run.bytes))),
    ).toThrow(ArtifactError);
  });
});

describe('a packed artifact of layers of any precision', () => {
  const names = Object.keys(PRECISIONS) as LayerPrecision[];
  const precisions = fc.array(fc.constantFrom(...names), { minLength: 3, maxLength: 3 });
  let run: TrainedRun;
  beforeAll(async () => {
    run = await tinyRun({ artifact: 'packed' }, wasm);
  });

  /** A network of three layers, its header, and values that take in both ends of every range. */
  function networkWith(precision: readonly LayerPrecision[]) {
    const header = { ...run.header, model: '36-8-5-4', precision };
    const network = graphOf(header);
    const weights = new Int8Array(network.parameters);
    for (const { values, offset, rows, columns } of network.tensors) {
      const [least, largest] = VALUE_RANGES[values];
      for (let i = 0; i < rows * columns; i++) {
        weights[offset + i] = least + ((i * 11 + (i >> 2)) % (largest - least + 1));
      }
      weights[offset] = largest;
    }
    return { header, network, weights };
  }

  it('opens, rebuilds and hashes to what was written; the hash is that of a second implementation', () =>
    fc.assert(
      fc.asyncProperty(precisions, async (precision) => {
        const { header, network, weights } = networkWith(precision);
        const hash = await weightsHash(weights, network.tensors);
        expect(hash).toBe(hashOfMixed(weights, precision));
        const bytes = encodePacked(header, weights, { steps: 3, weightsHash: hash });
        const artifact = openArtifact(bytes);
        expect(artifact).toMatchObject({ kind: 'packed', weights, network, weightsHash: hash });
        expect(await rebuildVerified(artifact, reference)).toEqual(weights);
        for (const { name, offset, rows, columns } of network.tensors) {
          expect(rebuildTensor(artifact, name)).toEqual(weights.slice(offset, offset + rows * columns));
        }
        const placed = await wasm.place(network, { batch: 1 });
        await placed.writeWeights(weights);
        expect(await placed.readWeights()).toEqual(weights);
        await placed.release();
      }),
    ));

  it('with all layers ternary is the very file that has no precisions in it', async () => {
    const { header, weights } = networkWith(['ternary', 'ternary', 'ternary']);
    const plain = { ...run.header, model: header.model };
    const outcome = { steps: 3, weightsHash: await weightsHash(weights) };
    expect(encodePacked(header, weights, outcome)).toEqual(encodePacked(plain, weights, outcome));
  });

  it('is not written with a value out of its tensor’s range', () => {
    const { header, network, weights } = networkWith(['int4-row', 'int8', 'ternary-row']);
    const outcome = { steps: 3, weightsHash: '0'.repeat(64) };
    const wrong = { trit: [-2, 2], int4: [-8, 8], int8: [-128], scale: [0, -1] };
    for (const { name, values, offset } of network.tensors) {
      for (const value of wrong[values]) {
        const lying = weights.slice();
        lying[offset + 1] = value;
        expect(() => encodePacked(header, lying, outcome)).toThrow(`"${name}" expected values in `);
      }
    }
  });
});

/** `weightsHash` of a 36-8-5-4 network, written a second time: ternary matrices five a byte, then all other bytes. */
function hashOfMixed(weights: Int8Array, precision: readonly LayerPrecision[]): string {
  const matrices = [
    weights.slice(0, 288),
    weights.slice(288, 328),
    weights.slice(328, 348), // and after it the scales of the rows
  ];
  const isTrits = (layer: number) => precision[layer].startsWith('ternary');
  const trits = matrices.flatMap((matrix, layer) => (isTrits(layer) ? [...matrix] : []));
  const others = matrices.flatMap((matrix, layer) => (isTrits(layer) ? [] : [...matrix]));
  const bytes = [...tritBytes(Int8Array.from(trits)), ...others, ...weights.slice(348)];
  return createHash('sha256').update(Uint8Array.from(bytes)).digest('hex');
}

function stepsOf(log: SeedLog) {
  return asWritten(log.replaySteps());
}

/** Steps as they were written, without their numbers and bytes. */
function asWritten(steps: Iterable<ReadStep>): LogStep[] {
  return Array.from(steps, ({ seedStep, nonzeros, loss, coefficients }) => ({
    ...{ seedStep, nonzeros, loss, coefficients: coefficients.slice() },
  }));
}

/** The definition in design of `weightsHash`, written a second time: Σ (trit + 1)·3^place, the last byte filled up with zeros. */
function hashOf(trits: Int8Array): string {
  return createHash('sha256')
    .update(Uint8Array.from(tritBytes(trits)))
    .digest('hex');
}

function tritBytes(trits: Int8Array): number[] {
  return Array.from({ length: Math.ceil(trits.length / 5) }, (_, byte) =>
    [0, 1, 2, 3, 4].reduce((sum, place) => sum + ((trits[5 * byte + place] ?? 0) + 1) * 3 ** place, 0),
  );
}

/** The file of a run that has not ended: its opening, and a block a step. */
function unfinished({ header, steps }: TrainedRun): Uint8Array[] {
  return [openingOfLog(header), ...steps.map((step, index) => encodeLogBlock(header, index + 1, [step]))];
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
