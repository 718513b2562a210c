/**
 * Randomness against Random123's published vectors, an independent Philox, and what
 * permutations, directions and uniform draws must be. All keys are fixed, so no test is a
 * matter of luck.
 */

import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ReferenceBackend } from '../src/backend/reference/reference.js';
import { Batches } from '../src/data/batches.js';
import { keyOf } from '../src/random/key.js';
import {
  type DirectionSet,
  directionOfWeight,
  directionSet,
  logSets,
  nonzerosMax,
  poolSets,
  Signs,
  weightsOfDirection,
} from '../src/random/directions.js';
import { CUT_MAX, initLatents, latentRange, tritOf } from '../src/random/latents.js';
import { permutationOf, permute, unpermute } from '../src/random/permutation.js';
import { type Key, Purpose, philox, streamOf } from '../src/random/philox.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';

/** Counters that were drawn since the last test began, as text. */
const counters = vi.hoisted(() => ({ drawn: [] as string[] }));
vi.mock('../src/random/philox.js', async (original) => {
  const real = await original<typeof import('../src/random/philox.js')>();
  const recorded: typeof real.philox = (key, block, index, step, stream, out) => {
    counters.drawn.push(`${block},${index},${step},${stream}`);
    real.philox(key, block, index, step, stream, out);
  };
  return { ...real, philox: recorded };
});
afterEach(() => {
  counters.drawn = [];
});

const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const key: fc.Arbitrary<Key> = fc.tuple(word, word);
const SIZES = [1, 2, 3, 5, 7, 31, 97, 1000, 4097, 2 ** 16 + 1, 200_704];

const range = (count: number) => Array.from({ length: count }, (_, i) => i);

function block(key: Key, c0: number, c1: number, c2: number, c3: number): number[] {
  const out = new Uint32Array(4);
  philox(key, c0, c1, c2, c3, out);
  return [...out];
}

/** How far counts lie from uniform: chi-square in standard deviations from its mean. */
function surprise(counts: readonly number[]): number {
  const each = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const chiSquare = counts.reduce((sum, count) => sum + (count - each) ** 2 / each, 0);
  const freedom = counts.length - 1;
  return (chiSquare - freedom) / Math.sqrt(2 * freedom);
}

describe('Philox4x32-10', () => {
  // Random123, tests/kat_vectors: counter c0…c3, key k0 k1, expected.
  it.each([
    ['00000000 00000000 00000000 00000000', '00000000 00000000', '6627e8d5 e169c58d bc57ac4c 9b00dbd8'],
    ['ffffffff ffffffff ffffffff ffffffff', 'ffffffff ffffffff', '408f276d 41c83b0e a20bc7c6 6d5451fd'],
    ['243f6a88 85a308d3 13198a2e 03707344', 'a4093822 299f31d0', 'd16cfe09 94fdcceb 5001e420 24126ea1'],
  ])('has the known answer of counter %s, key %s', (counter, keyText, expected) => {
    const words = (text: string) => text.split(' ').map((hex) => Number.parseInt(hex, 16));
    const [c0, c1, c2, c3] = words(counter) as [number, number, number, number];
    expect(block(words(keyText) as [number, number], c0, c1, c2, c3)).toEqual(words(expected));
  });

  it('is the paper’s rounds in exact integers, for any counter and key', () => {
    const low = 2n ** 32n - 1n;
    const exact = ([k0, k1]: Key, counter: readonly number[]) => {
      let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
      for (let round = 0n; round < 10n; round++) {
        const [x, y] = [a * 0xd2511f53n, c * 0xcd9e8d57n];
        const keyA = (BigInt(k0) + round * 0x9e3779b9n) & low;
        const keyC = (BigInt(k1) + round * 0xbb67ae85n) & low;
        [a, b, c, d] = [(y >> 32n) ^ b ^ keyA, y & low, (x >> 32n) ^ d ^ keyC, x & low];
      }
      return [a, b, c, d].map(Number);
    };
    fc.assert(
      fc.property(key, fc.tuple(word, word, word, word), (k, counter) => {
        expect(block(k, ...counter)).toEqual(exact(k, counter));
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a permutation', () => {
  it.each(SIZES)('of %i points hits each once, and is inverted', (size) => {
    for (const low of range(size > 1e4 ? 2 : 40)) {
      const permutation = permutationOf([low, size], low, streamOf(Purpose.permutation, 3), size);
      const seen = new Uint8Array(size);
      let wrong = 0;
      for (let position = 0; position < size; position++) {
        const image = permute(permutation, position);
        seen[image] = 1;
        if (unpermute(permutation, image) !== position) wrong++;
      }
      expect(wrong).toBe(0);
      expect(seen.indexOf(0)).toBe(-1);
    }
  });

  it('inverts at any point of any size', () => {
    const point = fc
      .integer({ min: 1, max: 2 ** 31 })
      .chain((size) => fc.tuple(fc.constant(size), fc.integer({ min: 0, max: size - 1 })));
    fc.assert(
      fc.property(key, word, point, (k, step, [size, position]) => {
        const permutation = permutationOf(k, step, streamOf(Purpose.permutation, 0), size);
        const image = permute(permutation, position);
        expect(image).toBeGreaterThanOrEqual(0);
        expect(image).toBeLessThan(size);
        expect(unpermute(permutation, image)).toBe(position);
        expect(permute(permutation, unpermute(permutation, position))).toBe(position);
      }),
      { numRuns: 1000 },
    );
  });

  it.each([2, 3, 5, 7, 31, 97])('of %i points sends each to every place equally often', (size) => {
    const counts = range(size).map(() => range(size).map(() => 0));
    for (const step of range(200 * size)) {
      const permutation = permutationOf([11, 22], step, streamOf(Purpose.permutation, 0), size);
      for (const position of range(size)) {
        const row = counts[position];
        const image = permute(permutation, position);
        row[image] += 1;
      }
    }
    for (const row of counts) expect(Math.abs(surprise(row))).toBeLessThan(5);
  });

  // Six Feistel rounds cannot do this for fewer than about twenty points, whatever the round function.
  it('of 31 points sends two to every pair of places equally often', () => {
    const counts = new Map(range(31 * 31).map((pair) => [pair, 0]));
    for (const step of range(60 * 31 * 31)) {
      const permutation = permutationOf([11, 22], step, streamOf(Purpose.permutation, 0), 31);
      const pair = permute(permutation, 0) * 31 + permute(permutation, 1);
      counts.set(pair, (counts.get(pair) as number) + 1);
    }
    for (const place of range(31)) counts.delete(place * 31 + place);
    expect(Math.abs(surprise([...counts.values()]))).toBeLessThan(5);
  });

  it('spreads the first thousand of 100,003 points evenly', () => {
    const bins = range(50).map(() => 0);
    for (const step of range(40)) {
      const permutation = permutationOf([5, 6], step, streamOf(Purpose.permutation, 1), 100_003);
      for (const position of range(1000)) {
        const bin = Math.floor((permute(permutation, position) * 50) / 100_003);
        bins[bin] += 1;
      }
    }
    expect(Math.abs(surprise(bins))).toBeLessThan(5);
  });
});

/** Any set: K directions that touch K…size weights. */
const sets: fc.Arbitrary<DirectionSet> = fc
  .record({ key, step: fc.nat(10_000), group: fc.nat(9), size: fc.integer({ min: 1, max: 900 }) })
  .chain((base) =>
    fc.integer({ min: 1, max: base.size }).chain((touched) =>
      fc.integer({ min: 1, max: touched }).map((directions) => {
        return directionSet({ ...base, offset: 17, touched, directions });
      }),
    ),
  );

describe('the directions of a set', () => {
  it('are disjoint, cover exactly `touched` weights, and every weight knows its own', () => {
    fc.assert(
      fc.property(sets, (set) => {
        const owner = range(set.size).map(() => -1);
        let touched = 0;
        for (const k of range(set.directions)) {
          const weights = weightsOfDirection(set, k);
          expect(weights.length).toBeGreaterThanOrEqual(Math.floor(set.touched / set.directions));
          expect(weights.length).toBeLessThanOrEqual(nonzerosMax(set));
          for (const weight of weights) {
            expect(owner[weight]).toBe(-1); // in range, and not in another direction
            owner[weight] = k;
            touched++;
          }
        }
        expect(touched).toBe(set.touched);
        expect(range(set.size).map((weight) => directionOfWeight(set, weight))).toEqual(owner);
      }),
      { numRuns: 200 },
    );
  });

  it('have exactly n nonzeros each in a step of a log', () => {
    const tensors = [{ rows: 20, columns: 30, offset: 0 }];
    for (const nonzeros of [1, 2, 7, 16]) {
      const [set] = logSets(tensors, [1, 2], 9, [37], nonzeros);
      for (const k of range(37)) expect(weightsOfDirection(set, k)).toHaveLength(nonzeros);
    }
  });

  it('of another step, group or key are other ones', () => {
    const base = { key: [1, 2] as Key, step: 1, group: 0, offset: 0, size: 500, directions: 5, touched: 50 };
    const others = [base, { ...base, step: 2 }, { ...base, group: 1 }, { ...base, key: [1, 3] as Key }];
    const drawn = others.map((spec) => weightsOfDirection(directionSet(spec), 0).join());
    expect(new Set(drawn).size).toBe(4);
  });

  it('partition a pool’s tensors; a tensor without directions has no set', () => {
    const tensors = [
      { rows: 7, columns: 11, offset: 0 },
      { rows: 5, columns: 7, offset: 77 },
      { rows: 3, columns: 5, offset: 112 },
    ];
    const [first, last, ...more] = poolSets(tensors, [3, 4], [10, 0, 15]);
    expect(more).toEqual([]);
    expect(first).toMatchObject({ step: 0, group: 0, offset: 0, size: 77, touched: 77, directions: 10 });
    expect(last).toMatchObject({ step: 0, group: 2, offset: 112, size: 15, touched: 15, directions: 15 });
  });

  it('of a log lie over the whole model for one count, and never touch more than there is', () => {
    const tensors = [
      { rows: 7, columns: 11, offset: 0 },
      { rows: 5, columns: 7, offset: 77 },
    ];
    expect(logSets(tensors, [3, 4], 8, [10], 4)).toMatchObject([
      { step: 8, group: 2, offset: 0, size: 112, directions: 10, touched: 40 },
    ]);
    expect(logSets(tensors, [3, 4], 8, [10, 9], 4)).toMatchObject([
      { group: 0, size: 77, touched: 40 },
      { group: 1, size: 35, touched: 35 },
    ]);
  });
});

describe('signs', () => {
  const signsOf = (step: number, group: number) => {
    const size = 40_000;
    const signs = new Signs(
      directionSet({ key: [8, 9], step, group, offset: 0, size, directions: 1, touched: 1 }),
    );
    return range(size).map((weight) => signs.at(weight));
  };

  it('are ±1, half of each, and independent of their neighbours, of the step and of the group', () => {
    const base = signsOf(1, 0);
    const others = [
      range(40_000).map(() => 1),
      ...[1, 2, 8, 32, 128].map((distance) => [...base.slice(distance), ...base.slice(0, distance)]),
      signsOf(2, 0),
      signsOf(1, 1),
    ];
    expect(new Set(base)).toEqual(new Set([-1, 1]));
    for (const other of others) {
      const product = base.reduce((sum, sign, weight) => sum + sign * other[weight], 0);
      expect(Math.abs(product)).toBeLessThan(4 * Math.sqrt(40_000));
    }
  });

  it('can be read in any order', () => {
    const set = directionSet({
      ...{ key: [8, 9] as Key, step: 1, group: 0, offset: 0, size: 40_000, directions: 1, touched: 1 },
    });
    const signs = new Signs(set);
    const base = signsOf(1, 0);
    for (const weight of [39_999, 0, 128, 127, 20_000, 127]) expect(signs.at(weight)).toBe(base[weight]);
  });
});

describe('latents', () => {
  const draw = (cut: number, count: number, tensor = 0): Int8Array => {
    const latents = new Int8Array(count);
    initLatents([77, 88], tensor, cut, latents);
    return latents;
  };

  it.each([0, 1, 3, 10, CUT_MAX])(
    'of cut %i are uniform in −R…R, so a third of the weights is zero',
    (cut) => {
      const reach = latentRange(cut);
      expect(reach).toBe(3 * cut + 1);
      const latents = draw(cut, 60_000);
      const counts = range(2 * reach + 1).map(() => 0);
      const trits = [0, 0, 0];
      for (const latent of latents) {
        const trit = tritOf(latent, cut);
        counts[latent + reach] = counts[latent + reach] + 1; // NaN when out of range
        trits[trit + 1] = trits[trit + 1] + 1;
      }
      expect(Math.abs(surprise(counts))).toBeLessThan(5);
      expect(Math.abs(surprise(trits))).toBeLessThan(5);
    },
  );

  it('stand for their sign beyond the cut, for zero within', () => {
    expect([-4, -3, 0, 3, 4].map((latent) => tritOf(latent, 3))).toEqual([-1, 0, 0, 0, 1]);
    expect([-1, 0, 1].map((latent) => tritOf(latent, 0))).toEqual([-1, 0, 1]);
  });

  it('are 16-bit draws, low half of a word first, scaled to 2R + 1 values', () => {
    const words = [0, 1, 2].flatMap((index) => block([77, 88], index, 0, 0, streamOf(Purpose.init, 0)));
    const draws = words.flatMap((drawn) => [drawn % 65_536, Math.floor(drawn / 65_536)]);
    expect([...draw(42, 24)]).toEqual(draws.map((drawn) => Math.floor((drawn * 255) / 65_536) - 127));
  });

  it('differ between tensors, and do not depend on how many are drawn', () => {
    expect(draw(3, 1000, 1)).not.toEqual(draw(3, 1000, 0));
    expect(draw(3, 13)).toEqual(draw(3, 1000).slice(0, 13));
  });
});

describe('streams', () => {
  it('give a distinct first word for each of 2,048 groups, steps and purposes', () => {
    // A known port drew 276 distinct ones from 1,536 seeds, which it had added together.
    const words = new Set<number>();
    for (const purpose of Object.values(Purpose)) {
      for (const group of range(16)) {
        for (const step of range(16)) {
          words.add(block([1, 2], 0, 0, step, streamOf(purpose, group))[0]);
        }
      }
    }
    expect(words.size).toBe(2048);
  });

  it('have no counter in common, whatever is drawn', async () => {
    const owners = new Map<string, string>();
    /** Notes the counters that a draw takes; `blocks` of them must be new. */
    const note = async (name: string, blocks: number, work: () => unknown) => {
      counters.drawn = [];
      await work();
      let fresh = 0;
      for (const counter of new Set(counters.drawn)) {
        const owner = owners.get(counter);
        if (owner?.startsWith('sign') && name.startsWith('probe')) continue; // align reads signs, too
        if (owner?.startsWith('order') && name.startsWith('shift')) continue; // the same batches, shifted
        expect(`${counter} of ${owner ?? name}`).toBe(`${counter} of ${name}`);
        owners.set(counter, name);
        fresh++;
      }
      expect(`${name}: ${fresh}`).toBe(`${name}: ${blocks}`);
    };

    const network = networkOf([130, 140, 260, 3], { centred: true, gain: 40, logitScale: 100 });
    const [batch, probes, steps] = [5, 17, 4];
    for (const [tensor, { rows, columns }] of network.tensors.entries()) {
      const latents = new Int8Array(rows * columns);
      await note(`init ${tensor}`, Math.ceil(latents.length / 8), () =>
        initLatents([1, 2], tensor, 1, latents),
      );
    }

    const width = 130;
    const inputs = Uint8Array.from({ length: batch * width }, (_, i) => (i * 89) % 128);
    const labels = Uint8Array.of(0, 1, 2, 0, 1);
    const batches = new Batches([1, 2], { inputs, labels, count: batch, width }, batch);
    for (const epoch of range(steps)) await note(`order ${epoch}`, 2, () => batches.load(epoch));
    const image = { rows: 10, columns: 13, channels: 1, planar: false };
    const shifting = new Batches([1, 2], { inputs, labels, count: batch, width, image }, batch, 1);
    for (const step of range(steps)) await note(`shift ${step}`, batch, () => shifting.load(step));

    const groups = [...network.tensors, { rows: 1, columns: network.parameters, offset: 0 }];
    const drawn = new Map<string, DirectionSet>();
    for (const step of range(steps)) {
      for (const [group, { rows, columns, offset }] of groups.entries()) {
        const size = rows * columns;
        await note(`directions ${step} ${group}`, 2, () => {
          const spec = { key: [1, 2] as Key, step, group, offset, size, directions: 3, touched: 3 };
          drawn.set(`${step} ${group}`, directionSet(spec));
        });
        const set = drawn.get(`${step} ${group}`) as DirectionSet;
        await note(`sign ${step} ${group}`, Math.ceil(size / 128), () => {
          const signs = new Signs(set);
          for (let weight = 0; weight < size; weight += 64) signs.at(weight);
        });
      }
    }

    const placed = await new ReferenceBackend().place(network, { batch, probes });
    placed.load({ inputs, labels, length: 1 });
    for (const step of range(steps)) {
      for (const [layer, blocksAcross] of [2, 3].entries()) {
        const set = drawn.get(`${step} ${layer}`) as DirectionSet;
        // 17 probes are two groups of at most 16 with a block for 128 units each.
        await note(`probe ${step} ${layer}`, batch * blocksAcross * 2, () =>
          placed.align({ key: [1, 2], step, probes, sigma: 50, rewardShift: 0 }, [set]),
        );
      }
    }
  });
});

describe('keyOf', () => {
  it('is the start of the SHA-256 of the text in UTF-8', () => {
    // FIPS 180-4's example: SHA-256("abc") = ba7816bf 8f01cfea 414140de …; words are low, high.
    expect(keyOf('abc')).toEqual([0x8f01cfea, 0xba7816bf]);
    // printf '🌱š' | sha256sum
    const digest = createHash('sha256').update('🌱š', 'utf8').digest();
    expect(keyOf('🌱š')).toEqual([digest.readUInt32BE(4), digest.readUInt32BE(0)]);
  });

  it('gives 100,000 seeds of several alphabets as many keys', () => {
    const alphabets = [
      '0123456789',
      'a',
      'áàâäãåāăąčďéèšžß',
      'абвгдежзиклмнопр',
      '種子亂數一二三四五六',
      '🌱🌲🌳🌴🌵🎄🍀',
    ];
    const seeds = new Set(['', ' ', '1', '1 ', '01', '1.0', 'A', 'Á', 'A\u0301', '\0', '\0\0']);
    for (const alphabet of alphabets) {
      const letters = [...alphabet];
      for (let i = 0; i < 20_000; i++) {
        // All numbers in the alphabet's base, and of one letter every length up to the longest seed.
        if (letters.length === 1) seeds.add(letters[0].repeat(i % 257));
        else seeds.add(i.toString(letters.length).replace(/./g, (digit) => letters[parseInt(digit, 36)]));
      }
    }
    expect(seeds.size).toBeGreaterThan(100_000);
    expect(new Set(Array.from(seeds, (seed) => keyOf(seed).join())).size).toBe(seeds.size);
  });

  it('refuses what has no UTF-8 of its own', () => {
    for (const seed of ['\ud800', 'a\udfffb', '\ufffd']) {
      expect(() => keyOf(seed)).toThrow('"seed" expected text of Unicode characters');
    }
    expect(() => keyOf('\u{1f331}')).not.toThrow();
  });
});
