/** Checks the coders of whole tensors: packed trits by neighbours and interleaved, pools by the moves of their weights. */

import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { ByteReader } from '../src/artifact/bytes.js';
import { decodePool, encodePool } from '../src/artifact/pool.js';
import { decodeByDefinition } from '../src/artifact/interleaved-coder.js';
import { type Frequencies, openInterleavedKernel } from '../src/artifact/kernels/interleaved.js';
import { openRangeCodedKernel, type RangeCodedKernel } from '../src/artifact/kernels/range-coded.js';
import {
  decodePlainByDefinition,
  decodeTensor,
  encodeTensor,
  encodeTensorAs,
  TensorCoding,
} from '../src/artifact/tensor-coder.js';
import { encodeInterleaved } from '../src/artifact/interleaved-coder.js';
import {
  decodeByDefinition as decodeNeighboursByDefinition,
  encodeNeighbours,
} from '../src/artifact/neighbour-coder.js';
import { RangeDecoder } from '../src/artifact/range-coder.js';
import { type Header, parseKey } from '../src/artifact/header.js';
import { graphOf } from '../src/ternary/builders/index.js';
import { levelOf, LinearPredictor } from '../src/artifact/linear-predictor.js';
import { ArtifactError, ConfigError } from '../src/errors.js';
import { poolSets, Signs, weightsOfDirection } from '../src/random/directions.js';
import { coefficientLimit } from '../src/random/latents.js';
import { philox } from '../src/random/philox.js';
import type { Tensor } from '../src/ternary/model.js';

/** Payloads of a tensor under each coding of trits. */
const CODINGS = {
  neighbours: (trits: Int8Array, columns: number, stride = 0) =>
    Uint8Array.of(TensorCoding.neighbours, stride, ...encodeNeighbours(trits, columns, stride)),
  interleaved: (trits: Int8Array, columns: number) =>
    Uint8Array.of(TensorCoding.interleaved, ...encodeInterleaved(trits, columns)),
};

const matrices = fc
  .record({ rows: fc.integer({ min: 1, max: 12 }), columns: fc.integer({ min: 1, max: 40 }) })
  .chain(({ rows, columns }) =>
    fc.record({
      columns: fc.constant(columns),
      trits: fc
        .array(fc.constantFrom(-1, 0, 0, 0, 1), { minLength: rows * columns, maxLength: rows * columns })
        .map((values) => Int8Array.from(values)),
    }),
  );

describe.each(Object.entries(CODINGS))('trits, %s', (_, encode) => {
  it('are read back', () => {
    fc.assert(
      fc.property(matrices, ({ trits, columns }) => {
        expect(decode(encode(trits, columns), trits.length, columns)).toEqual(trits);
      }),
    );
  });

  it('cut at any byte, or with a byte more, are an ArtifactError', () => {
    const trits = image(20, 49, 1);
    const bytes = encode(trits, 49);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeOrFault(bytes.subarray(0, length), trits.length, 49)).not.toEqual(trits);
    }
    for (let more = 0; more < 256; more++) {
      expect(decodeOrFault(Uint8Array.of(...bytes, more), trits.length, 49)).toBe(ArtifactError);
    }
  });

  it('with a flipped bit are other trits or an ArtifactError', () => {
    const trits = image(9, 25, 2);
    const bytes = encode(trits, 25);
    for (let bit = 8; bit < bytes.length * 8; bit++) {
      const flipped = bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(decodeOrFault(flipped, trits.length, 25)).not.toEqual(trits);
    }
  });

  it('of any bytes are trits or an ArtifactError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 30 }), (bytes, columns) => {
        const coding = encode(Int8Array.of(0), 1)[0];
        const read = decodeOrFault(Uint8Array.of(coding, ...bytes), 20 * (columns + 1), columns + 1);
        if (read === ArtifactError) return;
        expect((read as Int8Array).every((trit) => trit >= -1 && trit <= 1)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('with a value that is no trit are refused when writing', () => {
    expect(() => encode(Int8Array.of(0, 2), 2)).toThrow(ConfigError);
    expect(() => encode(Int8Array.of(-2, 0), 2)).toThrow(ConfigError);
  });
});

describe('range-coded trits', () => {
  const kernel = openRangeCodedKernel() as RangeCodedKernel;
  type Way = (decoder: RangeDecoder, trits: Int8Array, columns: number, stride: number) => void;
  const tensor = (columns: number, size: number) => tensorOf(size / columns, columns);
  /** Coding, reading by the definition, reading by the kernel. */
  const WAYS: Record<
    string,
    [(trits: Int8Array, columns: number, stride: number) => Uint8Array, definition: Way, fast: Way]
  > = {
    plain: [
      (trits, columns) =>
        encodeTensorAs(TensorCoding.plain, tensor(columns, trits.length), trits).subarray(1),
      (decoder, trits, columns) => decodePlainByDefinition(decoder, tensor(columns, trits.length), trits),
      (decoder, trits) => decoder.delegate((bytes, state) => kernel.plain(bytes, state, trits)),
    ],
    'by neighbours': [
      encodeNeighbours,
      decodeNeighboursByDefinition,
      (decoder, trits, columns, stride) =>
        decoder.delegate((bytes, state) => kernel.neighbours(bytes, state, trits, columns, stride)),
    ],
  };

  it.each(Object.entries(WAYS))(
    '%s, are the same by the kernel and by the definition, whatever the bytes',
    (_, way) => {
      const [encode, definition, fast] = way;
      let read = 0;
      const outcomeOf = (by: Way, bytes: Uint8Array, size: number, columns: number, stride: number) => {
        const trits = new Int8Array(size);
        try {
          const decoder = new RangeDecoder(bytes, 'trits');
          by(decoder, trits, columns, stride);
          decoder.expectEnd();
          return trits;
        } catch (error) {
          return String(error);
        }
      };
      fc.assert(
        fc.property(
          matrices,
          fc.nat({ max: 40 }),
          fc.array(fc.record({ at: fc.nat({ max: 60 }), to: fc.nat({ max: 255 }) }), { maxLength: 2 }),
          fc.nat({ max: 80 }),
          ({ trits, columns }, wide, changes, length) => {
            const stride = wide >= 4 && wide <= columns ? wide : 0;
            const bytes = encode(trits, columns, stride).slice(0, length + 40);
            for (const { at, to } of changes) bytes[at % bytes.length] = to;
            const outcome = outcomeOf(definition, bytes, trits.length, columns, stride);
            if (outcome instanceof Int8Array) read++;
            expect(outcomeOf(fast, bytes, trits.length, columns, stride)).toEqual(outcome);
          },
        ),
        { numRuns: 500 },
      );
      expect(read).toBeGreaterThan(100);
    },
  );

  it('of a large matrix are read by the kernel', () => {
    const trits = image(128, 784, 3);
    for (const stride of [0, 28]) {
      expect(decode(CODINGS.neighbours(trits, 784, stride), trits.length, 784)).toEqual(trits);
    }
  });
});

describe('interleaved trits', () => {
  const frequencies = fc.integer({ min: 1, max: 16 }).chain((count) =>
    fc.record({
      shares: fc.array(
        fc
          .integer({ min: 1, max: 2 ** 14 - 2 })
          .chain((zero) => fc.tuple(fc.constant(zero), fc.integer({ min: 1, max: 2 ** 14 - 1 - zero }))),
        { minLength: count, maxLength: count },
      ),
      classes: fc.uint8Array({ minLength: 1, maxLength: 60, max: count - 1 }),
    }),
  );

  it('are the same by the kernel and by the definition, whatever the bytes', () => {
    const kernel = openInterleavedKernel();
    expect(kernel).not.toBeNull(); // Node has SIMD
    let whole = 0;
    fc.assert(
      fc.property(
        frequencies,
        fc.uint8Array({ maxLength: 400 }),
        fc.nat({ max: 300 }),
        fc.uint8Array({ minLength: 64, maxLength: 64 }),
        ({ shares, classes }, bytes, count, raw) => {
          const statistics: Frequencies = {
            zero: Uint16Array.from(shares, ([zero]) => zero),
            positive: Uint16Array.from(shares, ([, positive]) => positive),
            classes,
          };
          const words = bytes.subarray(0, bytes.length & ~1);
          const start = new Uint32Array(raw.buffer.slice(0)).map((state) => (state | (2 ** 16)) >>> 0);
          const runs = [decodeByDefinition, kernel as typeof decodeByDefinition].map((read) => {
            const states = start.slice();
            const trits = new Int8Array(count);
            const taken = read(words, states, statistics, trits);
            return taken === null ? null : { taken, states, trits };
          });
          if (runs[0] !== null) whole++;
          expect(runs[1]).toEqual(runs[0]);
        },
      ),
      { numRuns: 500 },
    );
    expect(whole).toBeGreaterThan(100);
  });

  it('come within 0.2% and 100 bytes of their entropy, by column', () => {
    const random = randomNumbers(5);
    for (const zeros of [() => 0.3, () => 0.95, (column: number) => (column % 5 === 0 ? 0.999 : 0.6)]) {
      const trits = new Int8Array(400 * 300);
      let bits = 0;
      for (let i = 0; i < trits.length; i++) {
        const zero = zeros(i % 300);
        trits[i] = random() < zero ? 0 : random() < 0.5 ? 1 : -1;
        bits -= Math.log2(trits[i] === 0 ? zero : (1 - zero) / 2);
      }
      expect(encodeInterleaved(trits, 300).length).toBeLessThan((bits / 8) * 1.002 + 250);
    }
  });

  it('that fill up the last group with anything but zeros are refused', () => {
    // All sixteen states say −1, of frequency f = 2^14 − 2: ⌊2^16 / f⌋ · 2^14 + 2^16 mod f + 2.
    const states = new Uint8Array(64);
    for (let lane = 0; lane < 16; lane++) new DataView(states.buffer).setUint32(4 * lane, 2 ** 16 + 10, true);
    const payload = Uint8Array.of(TensorCoding.interleaved, 1, 1, 1, ...states);
    expect(decode(payload, 16, 1)).toEqual(new Int8Array(16).fill(-1));
    expect(() => decode(payload, 1, 1)).toThrow(/^trits at byte \d+: expected the states/);
  });

  it('of 2^20 weights or more are what is written, and fewer are not', () => {
    const zeros = (columns: number) => encodeTensor(tensorOf(1024, columns), new Int8Array(1024 * columns));
    expect(zeros(1024)[0]).toBe(TensorCoding.interleaved);
    expect(zeros(10)[0]).not.toBe(TensorCoding.interleaved);
    expect(decode(zeros(1024), 2 ** 20, 1024)).toEqual(new Int8Array(2 ** 20));
  });
});

test('trits of an image’s neighbours alike cost less by neighbours, with the stride of the image', () => {
  const trits = image(40, 100, 3);
  const plain = encodeNeighbours(trits, 100, 0).length;
  expect(encodeNeighbours(trits, 100, 10).length).toBeLessThan(0.9 * plain);
  const payload = encodeTensor(tensorOf(40, 100), trits);
  expect([...payload.subarray(0, 2)]).toEqual([TensorCoding.neighbours, 10]);
  expect(decode(payload, 4000, 100)).toEqual(trits);
});

test('independent trits by neighbours come within 1.5% and 16 bytes of their entropy', () => {
  const random = randomNumbers(6);
  for (const zero of [0.1, 0.5, 0.95]) {
    const trits = Int8Array.from({ length: 60_000 }, () => (random() < zero ? 0 : random() < 0.5 ? 1 : -1));
    const bits = trits.reduce((sum, trit) => sum - Math.log2(trit === 0 ? zero : (1 - zero) / 2), 0);
    expect(encodeNeighbours(trits, 200, 0).length).toBeLessThan((bits / 8) * 1.015 + 16);
  }
});

test.each([1, 2, 3, 41, 200])('a stride of %i is refused for 40 columns', (stride) => {
  const bytes = Uint8Array.of(TensorCoding.neighbours, stride === 200 ? 127 : stride, 1, 2, 3, 4);
  expect(() => decode(bytes, 400, 40)).toThrow(/^trits at byte \d+: expected (a stride|stride)/);
});

describe('the coefficients of a pool', () => {
  const header = (cut: number, model = '49-20-4', directions = [400, 30]): Header => ({
    ...{ kind: 'pool', model, centred: true, gain: 25, logitScale: 480, key: '0123456789abcdef', cut },
    ...{ directions, config: {}, data: { name: 'none', hash: '' } },
  });
  const cuts = fc.constantFrom(0, 1, 42);

  it('within their limit are read back', () => {
    fc.assert(
      fc.property(
        cuts.chain((cut) => {
          const limit = coefficientLimit(cut);
          const value = fc.integer({ min: -limit, max: limit });
          return fc.record({
            cut: fc.constant(cut),
            values: fc.array(value, { minLength: 430, maxLength: 430 }),
          });
        }),
        ({ cut, values }) => {
          const coefficients = Int16Array.from(values);
          const payload = encodePool(header(cut), coefficients);
          expect(decodePool(new ByteReader(payload, 'coefficients'), header(cut))).toEqual(coefficients);
        },
      ),
    );
  });

  it('that move neighbours alike cost less than their entropy, and are read back', () => {
    const large = header(0, '100-40-4', [2000, 4]);
    const coefficients = alike(large);
    const payload = encodePool(large, coefficients);
    expect(payload.length).toBeLessThan(0.97 * entropyBytes(coefficients));
    expect(decodePool(new ByteReader(payload, 'coefficients'), large)).toEqual(coefficients);
  });

  it('of any bytes are coefficients or an ArtifactError', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom(0, 1, 2),
        fc.nat(60),
        (bytes, coding, stride) => {
          const body = Uint8Array.of(coding, ...(coding === 1 ? [stride] : []), ...bytes);
          const payload = Uint8Array.of((body.length & 127) | 128, body.length >> 7, ...body, 1, 0);
          try {
            const read = decodePool(new ByteReader(payload, 'coefficients'), header(1));
            expect(read.every((value) => Math.abs(value) <= coefficientLimit(1))).toBe(true);
          } catch (error) {
            expect(error).toBeInstanceOf(ArtifactError);
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

test('a prediction learns a linear rule and gives levels within their range', () => {
  const random = randomNumbers(7);
  const predictor = new LinearPredictor(2, 0.05);
  let error = 0;
  for (let i = 0; i < 4000; i++) {
    predictor.inputs.set([random() - 0.5, random() - 0.5]);
    const target = 2 * predictor.inputs[0] - predictor.inputs[1];
    error = Math.abs(predictor.predict() - target);
    predictor.learn(target);
  }
  expect(error).toBeLessThan(0.01);
  expect([-1, 0, 0.24, 0.26, 1, 9].map((value) => levelOf(value, 2, 4))).toEqual([0, 0, 0, 1, 2, 4]);
});

function tensorOf(rows: number, columns: number): Tensor {
  return { name: 'layer0.weight', values: 'trit', rows, columns, offset: 0 };
}

function decode(payload: Uint8Array, length: number, columns: number): Int8Array {
  const trits = new Int8Array(length);
  decodeTensor(new ByteReader(payload, 'trits'), tensorOf(length / columns, columns), trits);
  return trits;
}

function decodeOrFault(
  payload: Uint8Array,
  length: number,
  columns: number,
): Int8Array | typeof ArtifactError {
  try {
    return decode(payload, length, columns);
  } catch (error) {
    if (error instanceof ArtifactError) return ArtifactError;
    throw error;
  }
}

/** Rows that are smooth square images. */
function image(rows: number, columns: number, seed: number): Int8Array {
  const random = randomNumbers(seed);
  const side = Math.sqrt(columns);
  return Int8Array.from({ length: rows * columns }, (_, i) => {
    const [x, y] = [i % side, Math.floor((i % columns) / side)];
    const wave = Math.sin(x / 2 + Math.floor(i / columns)) + Math.cos(y / 2) + random() - 0.5;
    return wave > 0.6 ? 1 : wave < -0.6 ? -1 : 0;
  });
}

/** Coefficients that move the weights of a column up or down together, as far as their directions can. */
function alike(header: Header): Int16Array {
  const { tensors } = graphOf(header);
  return Int16Array.from(
    poolSets(tensors, parseKey(header.key), header.directions).flatMap((set) => {
      const { columns } = tensors[set.group];
      const signs = new Signs(set);
      return Array.from({ length: set.directions }, (_, k) => {
        const up = weightsOfDirection(set, k).map(
          (index) => signs.at(index) * (index % columns < columns / 2 ? 1 : -1),
        );
        return Math.max(
          -2,
          Math.min(
            2,
            up.reduce((sum, one) => sum + one, 0),
          ),
        );
      });
    }),
  );
}

function entropyBytes(values: ArrayLike<number>): number {
  const counts = new Map<number, number>();
  for (const value of Array.from(values)) counts.set(value, (counts.get(value) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / values.length);
  return bits / 8;
}

/** Numbers in [0, 1), always the same. */
function randomNumbers(seed: number): () => number {
  const words = new Uint32Array(4);
  let at = 0;
  return () => {
    if (at % 4 === 0) philox([seed, 0], at / 4, 0, 0, 0, words);
    return words[at++ % 4] / 2 ** 32;
  };
}
