/**
 * The trainer's parts on the host: which coefficients are kept, who gets directions, the
 * pool's optimizer against a plain Adam, batches, configurations, and the trainer's schedule.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../src/errors.js';
import { allocateDirections } from '../src/random/allocation.js';
import { Batches, type TrainingSet } from '../src/data/batches.js';
import { checkConfig, NOISE_STEP_SETTINGS, type NoiseStepConfig } from '../src/perturb/config.js';
import { PoolOptimizer } from '../src/perturb/pool-optimizer.js';
import { PRESETS } from '../src/perturb/presets.js';
import { selectCoefficients } from '../src/perturb/selection.js';
import { type ExactRecord, NoiseStepTrainer } from '../src/perturb/trainer.js';
import { coefficientLimit, initLatents, latentRange, tritOf } from '../src/random/latents.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { reference } from './support/backends.js';

const options = { centred: true, gain: 40, logitScale: 1 };
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

describe('selectCoefficients', () => {
  const select = (alignments: readonly number[], keep: number): number[] => {
    const out = new Int8Array(alignments.length).fill(9);
    selectCoefficients(alignments, keep, out);
    return [...out];
  };

  it('keeps the signs of the largest, as many as asked for', () => {
    expect(select([5, -9, 1, 0], 0.5)).toEqual([1, -1, 0, 0]);
    expect(select([5, -9, 1, 7], 0.25)).toEqual([0, -1, 0, 0]);
    expect(select([5, -9, 1, -7], 1)).toEqual([1, -1, 1, -1]);
    expect(select([2 ** 40, -(2 ** 40) - 1, 3], 0.3)).toEqual([0, -1, 0]);
  });

  it('with half of them is the paper’s rule: |α| ≥ median |α|', () => {
    expect(select([1, -2, 3, -4, 5], 0.5)).toEqual([0, 0, 1, -1, 1]);
  });

  it('keeps at least one, and all that tie at the threshold', () => {
    expect(select([1, 2, -3], 0.001)).toEqual([0, 0, -1]);
    expect(select([4, -4, 4, 1], 0.25)).toEqual([1, -1, 1, 0]);
    expect(select([-6, -6, 6], 0.1)).toEqual([-1, -1, 1]);
  });

  it('never gives a sign to an alignment of zero', () => {
    expect(select([0, 0, 0], 1)).toEqual([0, 0, 0]);
    expect(select([0, 3, 0, 0], 1)).toEqual([0, 1, 0, 0]);
    expect(select([], 0.5)).toEqual([]);
  });

  it('keeps what sorting by size keeps', () => {
    const alignments = fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 - 1 }), {
      minLength: 1,
      maxLength: 80,
    });
    fc.assert(
      fc.property(alignments, fc.double({ min: 0.001, max: 1, noNaN: true }), (sizes, keep) => {
        const signed = sizes.map((size) => (size % 2 ? size : -size));
        const kept = [...sizes].sort((a, b) => b - a).slice(0, Math.max(1, Math.round(keep * sizes.length)));
        const wanted = signed.map((value) => (kept.includes(Math.abs(value)) ? Math.sign(value) : 0));
        expect(select(signed, keep)).toEqual(wanted);
      }),
    );
  });
});

describe('allocateDirections', () => {
  it('shares by the square root of the sizes', () => {
    const [hidden, last] = allocateDirections(networkOf([784, 512, 10], options), 32_768);
    expect(Math.abs(hidden + last - 32_768)).toBeLessThan(2);
    expect(hidden / last).toBeCloseTo(Math.sqrt((784 * 512) / (512 * 10)), 1);
  });

  it('hands on what a small tensor cannot take', () => {
    // By root the last would get 10,100 · √200 / (√10,000 + √200) = 1,251, but it has 200 weights.
    expect(allocateDirections(networkOf([100, 100, 2], options), 10_100)).toEqual([9900, 200]);
    expect(allocateDirections(networkOf([100, 100, 2], options), 10 ** 6)).toEqual([10_000, 200]);
  });

  it('gives each tensor one to all of its weights, and as many as asked for but for the rounding', () => {
    const widths = fc.tuple(
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 2, max: 12 }),
    );
    fc.assert(
      fc.property(widths, fc.double({ min: 0, max: 1.2, noNaN: true }), ([inner, classes], share) => {
        const network = networkOf([...inner, classes], options);
        const directions = Math.max(inner.length, Math.floor(network.parameters * share));
        const counts = allocateDirections(network, directions);
        expect(counts).toHaveLength(inner.length);
        counts.forEach((count, tensor) => {
          const { rows, columns } = network.tensors[tensor];
          expect(count).toBeGreaterThanOrEqual(1);
          expect(count).toBeLessThanOrEqual(rows * columns);
        });
        const missing = Math.min(directions, network.parameters) - sum(counts);
        expect(Math.abs(missing)).toBeLessThanOrEqual(inner.length);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses fewer directions than tensors', () => {
    expect(() => allocateDirections(networkOf([9, 9, 9, 9], options), 2)).toThrow(
      new RangeError('expected at least 3 directions, one a tensor, got 2'),
    );
  });
});

/** Adam as in the paper's algorithm 1, without ε, one coefficient alone; `path` is how far it went in all. */
function adam(alignments: readonly number[], rates: readonly number[], beta1: number, beta2: number) {
  let [value, first, second, path] = [0, 0, 0, 0];
  alignments.forEach((gradient, index) => {
    first = beta1 * first + (1 - beta1) * gradient;
    second = beta2 * second + (1 - beta2) * gradient ** 2;
    const unbiased = first / (1 - beta1 ** (index + 1));
    const move = (rates[index] * unbiased) / Math.sqrt(second / (1 - beta2 ** (index + 1)));
    value -= move;
    path += Math.abs(move);
  });
  return { value, path };
}

describe('PoolOptimizer', () => {
  const decay = fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 0.999, noNaN: true }));
  const alignment = fc.integer({ min: 1, max: 1_000_000 }).map((size) => (size % 2 ? size : -size));

  it('is Adam, whatever part of the pool a step speaks of', () => {
    const steps = fc.array(
      fc.record({
        first: fc.nat(5),
        alignments: fc.array(alignment, { minLength: 1, maxLength: 3 }),
        rate: fc.double({ min: 0.01, max: 2, noNaN: true }),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, decay, decay, (history, beta1, beta2) => {
        const optimizer = new PoolOptimizer(
          8,
          { beta1, beta2, limit: Number.POSITIVE_INFINITY },
          Float64Array,
        );
        const seen = Array.from({ length: 8 }, () => ({ alignments: [] as number[], rates: [] as number[] }));
        for (const { first, alignments, rate } of history) {
          optimizer.update(alignments, first, rate);
          alignments.forEach((value, k) => {
            seen[first + k]?.alignments.push(value);
            seen[first + k]?.rates.push(rate);
          });
        }
        seen.forEach(({ alignments, rates }, i) => {
          const { value, path } = adam(alignments, rates, beta1, beta2);
          const apart = Math.abs(optimizer.state.values[i] - value);
          expect(apart).toBeLessThanOrEqual(1e-9 * path);
          expect(optimizer.state.updates[i]).toBe(alignments.length);
        });
      }),
    );
  });

  it('goes down by the rate at first, whatever the size of the alignment', () => {
    const optimizer = new PoolOptimizer(4, { beta1: 0.9, beta2: 0.99, limit: 100 }, Float64Array);
    optimizer.update([3, -70_000, 0], 1, 0.25);
    expect([...optimizer.state.values].map((value) => value.toFixed(9))).toEqual([
      '0.000000000',
      '-0.250000000',
      '0.250000000',
      '0.000000000',
    ]);
  });

  it('stays within its limit and can come back', () => {
    const optimizer = new PoolOptimizer(2, { beta1: 0, beta2: 0.5, limit: 3 }, Float64Array);
    for (let step = 0; step < 10; step++) optimizer.update([1, -1], 0, 1);
    expect([...optimizer.state.values]).toEqual([-3, 3]);
    optimizer.update([-1, 1], 0, 1);
    expect(Math.abs(optimizer.state.values[0])).toBeLessThan(3);
    expect(Math.abs(optimizer.state.values[1])).toBeLessThan(3);
  });

  it('rounds half away from zero', () => {
    const optimizer = new PoolOptimizer(9, { beta1: 0, beta2: 0, limit: 10 }, Float64Array);
    optimizer.state.values.set([0, 0.49, 0.5, 1.5, 2.5, -0.49, -0.5, -1.5, -2.5]);
    const out = new Int16Array(9);
    optimizer.rounded(out);
    expect([...out]).toEqual([0, 0, 1, 2, 3, 0, -1, -2, -3]);
  });
});

/** Example i is [i, i + 1] and has the label i mod 5. */
function numbered(count: number): TrainingSet {
  return {
    inputs: Uint8Array.from({ length: 2 * count }, (_, i) => (i >> 1) + (i & 1)),
    labels: Uint8Array.from({ length: count }, (_, i) => i % 5),
    count,
    width: 2,
  };
}

describe('Batches', () => {
  const load = (batches: Batches, step: number): number[] => {
    batches.load(step);
    return Array.from(batches.labels, (label, b) => {
      const [example, next] = batches.inputs.subarray(2 * b, 2 * b + 2);
      expect([next, label]).toEqual([example + 1, example % 5]);
      return example;
    });
  };

  it('go through every example once an epoch, across its border and with batches above its size', () => {
    const shapes = fc.record({
      count: fc.integer({ min: 1, max: 100 }),
      batch: fc.integer({ min: 1, max: 250 }),
    });
    fc.assert(
      fc.property(shapes, ({ count, batch }) => {
        const batches = new Batches([1, count], numbered(count), batch);
        const order: number[] = [];
        for (let step = 0; order.length < 3 * count; step++) order.push(...load(batches, step));
        for (let epoch = 0; epoch < 3; epoch++) {
          const sorted = order.slice(epoch * count, (epoch + 1) * count).sort((a, b) => a - b);
          expect(sorted).toEqual(Array.from({ length: count }, (_, i) => i));
        }
      }),
    );
  });

  it('have another order in each epoch and for each key', () => {
    const orders = [1, 2].flatMap((low) => {
      const batches = new Batches([low, 0], numbered(60), 60);
      return [0, 1, 2].map((step) => load(batches, step).join());
    });
    expect(new Set(orders).size).toBe(6);
  });

  it('of any step need none of those before', () => {
    const inTurn = new Batches([1, 2], numbered(50), 35);
    const batches = Array.from({ length: 9 }, (_, step) => load(inTurn, step));
    for (const step of [8, 3, 0, 7]) {
      expect(load(new Batches([1, 2], numbered(50), 35), step)).toEqual(batches[step]);
    }
  });
});

describe('batches of shifted images', () => {
  /** The image moved right and down by so much, pixel by pixel; zero moves in. */
  const moved = (image: Uint8Array, columns: number, right: number, down: number) =>
    image.map((_, pixel) => {
      const [row, column] = [Math.floor(pixel / columns) - down, (pixel % columns) - right];
      const inside = row >= 0 && column >= 0 && column < columns && row * columns < image.length;
      return inside ? image[row * columns + column] : 0;
    });
  const images = (count: number, rows: number, columns: number): TrainingSet => ({
    inputs: Uint8Array.from({ length: count * rows * columns }, (_, i) => 1 + ((i * 71) % 127)),
    labels: new Uint8Array(count),
    count,
    width: rows * columns,
    image: { rows, columns, channels: 1, planar: false },
  });

  it('hold each image moved by some rows and columns within the bound, nothing else', () => {
    const shapes = fc
      .record({ shift: fc.integer({ min: 1, max: 8 }), more: fc.tuple(fc.nat(6), fc.nat(6)) })
      .map(({ shift, more: [rows, columns] }) => ({
        shift,
        rows: shift + 1 + rows,
        columns: shift + 1 + columns,
      }));
    fc.assert(
      fc.property(shapes, fc.nat(1000), ({ shift, rows, columns }, step) => {
        const batches = new Batches([3, 4], images(1, rows, columns), 5, shift);
        batches.load(step);
        const reach = Array.from({ length: 2 * shift + 1 }, (_, i) => i - shift);
        const allowed = reach.flatMap((right) =>
          reach.map((down) => moved(batches.data.inputs, columns, right, down).join()),
        );
        for (let b = 0; b < 5; b++) {
          const image = batches.inputs.subarray(b * rows * columns, (b + 1) * rows * columns);
          expect(allowed).toContain(image.join());
        }
      }),
    );
  });

  it('move all channels alike, wherever they lie', () => {
    const [rows, columns, channels] = [4, 5, 3];
    const plain = Uint8Array.from({ length: rows * columns * channels }, (_, i) => 1 + i);
    // The same pixels, [channels, rows, columns].
    const planes = plain.map(
      (_, at) => plain[(at % (rows * columns)) * channels + Math.floor(at / (rows * columns))],
    );
    const shifted = (inputs: Uint8Array, planar: boolean) => {
      const image = { rows, columns, channels, planar };
      const set = { inputs, labels: new Uint8Array(1), count: 1, width: inputs.length, image };
      const batches = new Batches([3, 4], set, 20, 2);
      batches.load(0);
      return Array.from({ length: 20 }, (_, b) =>
        batches.inputs.slice(b * plain.length, (b + 1) * plain.length),
      );
    };
    const last = shifted(plain, false);
    for (const image of last) {
      for (let pixel = 0; pixel < rows * columns; pixel++) {
        const colours = image.subarray(pixel * channels, (pixel + 1) * channels);
        // One pixel's colours stay together: they were consecutive numbers, or moved in as zeros.
        expect(colours[1]).toBe(colours[0] && colours[0] + 1);
        expect(colours[2]).toBe(colours[0] && colours[0] + 2);
      }
    }
    const first = shifted(planes, true).map((image) =>
      image.map((_, at) => image[(at % channels) * rows * columns + Math.floor(at / channels)]),
    );
    expect(first).toEqual(last);
  });

  it('take all shifts equally often', () => {
    const batches = new Batches([3, 4], images(1, 5, 6), 1, 1);
    const counts = new Map<string, number>();
    for (let step = 0; step < 4500; step++) {
      batches.load(step);
      const image = batches.inputs.join();
      counts.set(image, (counts.get(image) ?? 0) + 1);
    }
    expect(counts.size).toBe(9);
    for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(5 * Math.sqrt(500));
  });
});

describe('checkConfig', () => {
  const base: NoiseStepConfig = { ...PRESETS.default, model: '16-12-4' };
  const notIntegers = [1.5, Number.NaN, Number.POSITIVE_INFINITY, '4', null];
  const notText = [7, null, ['a'], 'x'.repeat(257)];
  const out: Record<keyof NoiseStepConfig, readonly unknown[]> = {
    model: notText,
    centred: [0, 'true', null],
    gain: [0, 128, ...notIntegers],
    logitScale: [0, 2 ** 20 + 1, ...notIntegers],
    perturb: ['weight', '', 0],
    artifact: ['logs', 'POOL', null],
    train: ['tail', true],
    seed: notText,
    steps: [0, -1, 10_000_001, ...notIntegers],
    holdout: [-1, 2 ** 31, ...notIntegers],
    batch: [0, 65_537, ...notIntegers],
    shift: [-1, 9, ...notIntegers],
    cut: [-1, 43, ...notIntegers],
    directions: [0, 2 ** 24 + 1, ...notIntegers],
    nonzeros: [[0, 0, 0], [4, 2, 1.5], '4', 4, [4, 4, 1], [1, 2, 4], ['4', '2', '1']],
    nonzerosBelow: [[-1, 1], [Number.NaN, 1], [1], [3, 2, 1], 2, ['2', '1']],
    keep: [0, -0.5, 1.01, Number.NaN, '0.5'],
    pool: [0, 2 ** 24 + 1, ...notIntegers],
    learningRate: [0, -1, 101, Number.NaN, '0.2'],
    hold: [-0.1, 1.1, Number.NaN, null],
    beta1: [-0.1, 1, Number.NaN, '0'],
    beta2: [-0.1, 1, Number.NaN, '0'],
    probes: [0, 65, ...notIntegers],
    sigma: [0, 257, ...notIntegers],
    rewardShift: [-1, 17, ...notIntegers],
  };
  const check = (change: Record<string, unknown>) => () =>
    checkConfig({ ...base, ...change } as NoiseStepConfig);

  it.each(Object.keys(NOISE_STEP_SETTINGS) as (keyof NoiseStepConfig)[])(
    'names "%s" out of range, what was expected and what was got',
    (key) => {
      for (const value of out[key]) {
        let message = '';
        try {
          check({ [key]: value })();
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          ({ message } = error as ConfigError);
        }
        expect(message, `${key} = ${JSON.stringify(value)}`).toMatch(
          new RegExp(`^"${key}" expected [^,]+.*, got .+`, 's'),
        );
      }
    },
  );

  it.each([
    [{ batch: 0 }, '"batch" expected an integer in 1…65536, got 0'],
    [{ perturb: 'both' }, '"perturb" expected weights or nodes, got "both"'],
    [{ seed: 5 }, '"seed" expected text of at most 256 Unicode characters, got 5'],
    [{ perturb: '\u001b[31m' }, '"perturb" expected weights or nodes, got "\\u{1b}[31m"'],
    [{ model: '16-12-300' }, '"model" expected a number of classes in 2…256, got 300'],
    [{ logitScale: 88_070 }, '"logitScale" expected an integer in 1…88069, got 88070'],
    [{ pool: 1 }, '"pool" expected at least 2, one a tensor, got 1'],
    [{ artifact: 'log', directions: 1 }, '"directions" expected at least 2, one a tensor, got 1'],
    [
      { artifact: 'log', directions: 100, nonzeros: [4, 2, 1] },
      '"directions" expected directions × nonzeros ≤ 240 weights, got 400',
    ],
  ])('says of %j: %s', (change, message) => {
    expect(check(change)).toThrow(new ConfigError(message));
  });

  it.each(['', '784', '16-0-4', '16-12-4-', 'x', '16 - 4'])('refuses the model "%s"', (model) => {
    expect(check({ model })).toThrow(ConfigError);
    expect(check({ model })).toThrow('"model" expected layer widths such as 784-256-10');
  });

  it('accepts every preset, and the ends of every range', () => {
    for (const preset of Object.values(PRESETS))
      expect(checkConfig(preset).tensors.length).toBeGreaterThan(1);
    const least = {
      gain: 1,
      logitScale: 1,
      steps: 1,
      batch: 1,
      shift: 0,
      cut: 0,
      probes: 1,
      sigma: 1,
      rewardShift: 0,
    };
    const most = {
      gain: 127,
      steps: 1e7,
      batch: 8192,
      shift: 8,
      cut: 42,
      probes: 64,
      sigma: 256,
      rewardShift: 16,
    };
    for (const ends of [least, { ...most, pool: 2 ** 24, keep: 1, hold: 1, learningRate: 100 }]) {
      expect(check(ends)().parameters).toBe(240);
    }
  });
});

/** Four classes, each brighter in its own quarter of 16 pixels. */
const data: TrainingSet = {
  inputs: Uint8Array.from({ length: 160 * 16 }, (_, i) => {
    const [example, pixel] = [i >> 4, i & 15];
    return ((i * 2654435761) >>> 27) * 2 + (pixel >> 2 === example % 4 ? 60 : 0);
  }),
  labels: Uint8Array.from({ length: 160 }, (_, example) => example % 4),
  count: 160,
  width: 16,
};

describe('the trainer', () => {
  const small: NoiseStepConfig = {
    ...{ ...PRESETS.default, model: '16-12-4', shift: 0, logitScale: 2000, batch: 50, steps: 12, probes: 4 },
    ...{ pool: 160, directions: 40, nonzeros: [4, 2, 1], nonzerosBelow: [1.2, 0.7], cut: 1 },
  };

  async function run(change: Partial<NoiseStepConfig>) {
    const config = { ...small, ...change };
    const trainer = await NoiseStepTrainer.create(config, data, reference);
    const records: ExactRecord[] = [];
    while (trainer.step < config.steps) records.push(await trainer.next());
    return { trainer, records, weights: await trainer.placed.readWeights() };
  }

  it('repeats itself from its configuration, and only from it', async () => {
    const [first, again, other] = [await run({}), await run({}), await run({ seed: '2' })];
    expect(again.records).toEqual(first.records);
    expect(again.weights).toEqual(first.weights);
    expect(other.weights).not.toEqual(first.weights);
  });

  it('draws sparser directions once the loss has fallen below each bound, and never denser again', async () => {
    const { records } = await run({ artifact: 'log', perturb: 'nodes', steps: 30 });
    let stage = 0;
    const wanted = records.map(({ loss }) => {
      while (stage < 2 && loss < [1.2, 0.7][stage]) stage++;
      return [4, 2, 1][stage];
    });
    expect(records.map(({ log }) => log?.nonzeros)).toEqual(wanted);
    expect(new Set(wanted)).toEqual(new Set([4, 2, 1]));
  });

  it('keeps the asked share of each tensor’s coefficients in a log', async () => {
    const { trainer, records } = await run({ artifact: 'log', keep: 0.25, steps: 3 });
    for (const { log } of records) {
      let first = 0;
      for (const count of trainer.counts) {
        const kept = log?.coefficients.subarray(first, first + count).filter((value) => value !== 0).length;
        expect(kept).toBeGreaterThanOrEqual(Math.round(count / 4) - 1); // one may be zero itself
        expect(kept).toBeLessThan(count / 2);
        first += count;
      }
    }
  });

  it.each([
    { perturb: 'nodes', artifact: 'pool' },
    { perturb: 'nodes', artifact: 'log' },
    { perturb: 'weights', artifact: 'pool' },
    { perturb: 'weights', artifact: 'log' },
  ] as const)(
    'of the head leaves hidden tensors at their initial draw: $perturb, $artifact',
    async (kind) => {
      const { trainer, weights } = await run({ ...kind, train: 'head', steps: 15 });
      const drawn = trainer.graph.tensors.map(({ rows, columns }, tensor) => {
        const latents = new Int8Array(rows * columns);
        initLatents(trainer.key, tensor, small.cut, latents);
        return latents.map((latent) => tritOf(latent, small.cut));
      });
      expect(weights.slice(0, 192)).toEqual(drawn[0]);
      expect(weights.slice(192)).not.toEqual(drawn[1]);
    },
  );

  it('keeps a pool’s coefficients where they can still change a trit', async () => {
    const { trainer } = await run({ learningRate: 5, steps: 20 });
    const limit = coefficientLimit(small.cut);
    expect(limit).toBe(latentRange(1) + 1 + 1);
    expect(Math.max(...(await trainer.poolCoefficients()).map(Math.abs))).toBe(limit);
  });

  it('counts the passes of the published recipe: 2K a step', async () => {
    const { records } = await run({ perturb: 'weights', artifact: 'log', steps: 1 });
    expect(records[0]).toMatchObject({ step: 1, forwardPasses: 2 * 40 * 50 });
  });

  it('refuses data that do not fit the model', async () => {
    const create = (change: Partial<NoiseStepConfig>) =>
      NoiseStepTrainer.create({ ...small, ...change }, data, reference);
    await expect(create({ model: '15-12-4' })).rejects.toThrow(
      new ConfigError('"model" expected 16 inputs, as the data has, got 15'),
    );
    await expect(create({ shift: 1 })).rejects.toThrow(
      '"shift" expected 0, since the examples are no images',
    );
    const image = { rows: 4, columns: 4, channels: 1, planar: false };
    await expect(
      NoiseStepTrainer.create({ ...small, shift: 4 }, { ...data, image }, reference),
    ).rejects.toThrow('"shift" expected less than 4 pixels, as the images have, got 4');
    await expect(create({ model: '16-12-3' })).rejects.toThrow(
      new ConfigError('"model" expected at least 4 outputs, one for each label of the data (0…3), got 3'),
    );
  });
});
