/** Checks the range coder and the coders of integers and trits: exact, near the entropy, safe on any bytes. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MAX_MAGNITUDE, SignedCoder, TritCoder } from '../src/artifact/integer-coder.js';
import { BitModel, RangeDecoder, RangeEncoder } from '../src/artifact/range-coder.js';
import { ArtifactError, ConfigError } from '../src/errors.js';

const CODERS = { integers: SignedCoder, trits: TritCoder };

type Item = { model: number; bit: number } | { bits: number; value: number };
const adaptive = fc.record({ model: fc.nat({ max: 3 }), bit: fc.constantFrom(0, 0, 0, 1) });
const direct = fc
  .integer({ min: 0, max: 32 })
  .chain((bits) => fc.record({ bits: fc.constant(bits), value: fc.nat({ max: 2 ** bits - 1 }) }));
const anyInteger = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.integer({ min: -40, max: 40 }),
  fc.integer({ min: -MAX_MAGNITUDE, max: MAX_MAGNITUDE }),
  fc.constantFrom(-MAX_MAGNITUDE, MAX_MAGNITUDE),
);

test('any mixture of adaptive bits and direct values is read back, and the end is where it was', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(adaptive, direct), { maxLength: 400, size: 'max' }), (items) => {
      const bytes = encodeItems(items);
      const decoder = new RangeDecoder(bytes);
      const models = Array.from({ length: 4 }, () => new BitModel());
      for (const item of items) {
        if ('bit' in item) expect(decoder.decodeBit(models[item.model])).toBe(item.bit);
        else expect(decoder.decodeDirect(item.bits)).toBe(item.value);
      }
      decoder.expectEnd();
    }),
  );
});

test('any integers up to 2^20 and any trits are read back', () => {
  fc.assert(
    fc.property(fc.array(anyInteger, { maxLength: 600, size: 'max' }), (values) => {
      expect(decode(SignedCoder, encode(SignedCoder, values), values.length)).toEqual(values);
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.constantFrom(-1, 0, 1), { maxLength: 2000, size: 'max' }), (trits) => {
      expect(decode(TritCoder, encode(TritCoder, trits), trits.length)).toEqual(trits);
    }),
  );
});

test('every escape boundary is read back', () => {
  const values = [14, 15, 16, 17, 18].flatMap((value) => [value, -value]);
  for (let power = 5; power <= 20; power++) {
    for (const near of [-1, 0, 1, 13, 14, 15]) values.push(2 ** power + near, -(2 ** power) - near);
  }
  const within = values.filter((value) => Math.abs(value) <= MAX_MAGNITUDE);
  expect(decode(SignedCoder, encode(SignedCoder, within), within.length)).toEqual(within);
});

test('the bytes are those of a second implementation', () => {
  // By an encoder written in Python from the comments of the two coders, with the low end of the interval
  // as one integer of any length, so that it has neither carries nor 32-bit arithmetic to get wrong.
  const integers = Array.from({ length: 40 }, (_, i) => ((i * i * 7919) % 41) - 20);
  expect(hex(encode(SignedCoder, [...integers, 1000, -70_000, 2 ** 20]))).toBe(
    '0000281fb538b099048ff78cd021cabb1db158c7435ceb83d02067bdd544ac2bfd4943a873207d81' + '04498a',
  );
  const trits = Array.from({ length: 200 }, (_, i) => (((i * i * 5) % 7) % 3) - 1);
  expect(hex(encode(TritCoder, trits))).toBe('184998d38aaf2378adfa72233af0e23db8b9466d9922cf');
});

test('a run that never changes costs next to nothing', () => {
  const zeros = new Array<number>(100_000).fill(0);
  expect(encode(TritCoder, zeros).length).toBeLessThan(16);
  expect(decode(TritCoder, encode(TritCoder, zeros), zeros.length)).toEqual(zeros);
});

test('a carry passes through any number of bytes of ff', () => {
  // The bits whose interval holds 80 00 00 … begin below it, at 7f ff ff …, until the end carries.
  const halfway = Uint8Array.of(0x80, ...new Uint8Array(60));
  for (let count = 16; count <= 400; count++) {
    const decoder = new RangeDecoder(halfway);
    const bits = Array.from({ length: count }, () => decoder.decodeBit(new BitModel()));
    const encoder = new RangeEncoder();
    for (const bit of bits) encoder.encodeBit(new BitModel(), bit);
    const bytes = encoder.finish();
    expect(bytes.length).toBeGreaterThan(count / 8 - 4);
    expect(bytes).toEqual(halfway.subarray(0, bytes.length));
  }
});

test('nothing at all is no bytes, and direct values cost their bits and a byte', () => {
  expect(new RangeEncoder().finish()).toEqual(new Uint8Array(0));
  new RangeDecoder(new Uint8Array(0)).expectEnd();
  const items = Array.from({ length: 1000 }, (_, i) => ({ bits: 7, value: (i * 37) % 128 }));
  expect(encodeItems(items).length).toBeLessThanOrEqual(Math.ceil((1000 * 7) / 8) + 1);
});

test('independent symbols come within 1.5% and 16 bytes of their entropy', () => {
  const random = randomNumbers(1);
  const laplace = (scale: number) => {
    const u = random() - 0.5;
    return Math.round(-scale * Math.sign(u) * Math.log(1 - 2 * Math.abs(u)));
  };
  for (const scale of [0.3, 1.2, 4.8, 20]) {
    const values = Array.from({ length: 8000 }, () => laplace(scale));
    expect(encode(SignedCoder, values).length).toBeLessThan(entropyBytes(values) * 1.015 + 16);
  }
  const uniform = Array.from({ length: 8000 }, () => Math.floor(random() * 7) - 3);
  expect(encode(SignedCoder, uniform).length).toBeLessThan(entropyBytes(uniform) * 1.015 + 16);
  for (const zeros of [0.1, 0.5, 0.95]) {
    const trits = Array.from({ length: 8000 }, () => (random() < zeros ? 0 : random() < 0.5 ? 1 : -1));
    expect(encode(TritCoder, trits).length).toBeLessThan(entropyBytes(trits) * 1.015 + 16);
  }
});

test('zeros that come in clusters cost less than the same trits shuffled', () => {
  const random = randomNumbers(2);
  const clustered = Array.from({ length: 8000 }, (_, i) =>
    (i >> 6) % 2 === 0 ? 0 : random() < 0.5 ? 1 : -1,
  );
  expect(encode(TritCoder, clustered).length).toBeLessThan(entropyBytes(clustered) * 0.8);
});

for (const [name, Coder] of Object.entries(CODERS)) {
  test(`random bytes decode to ${name} within their limits or raise an ArtifactError`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat({ max: 1000 }), (bytes, count) => {
        const values = decodeOrFault(Coder, bytes, count);
        if (!Array.isArray(values)) return;
        for (const value of values) expect(Math.abs(value)).toBeLessThanOrEqual(MAX_MAGNITUDE);
      }),
    );
  });

  test(`no bytes but those that an encoder writes are accepted as ${name}`, () => {
    const random = randomNumbers(4);
    let accepted = 0;
    for (let first = 0; first < 256; first++) {
      const bytes = Uint8Array.of(first, random() * 256, random() * 256).subarray(0, 1 + (first % 3));
      for (let count = 0; count < 30; count++) {
        const values = decodeOrFault(Coder, bytes, count);
        if (!Array.isArray(values)) continue;
        expect(encode(Coder, values)).toEqual(bytes);
        accepted++;
      }
    }
    expect(accepted).toBeGreaterThan(100);
  });

  test(`${name} cut at any byte, or with a byte more, are other ${name} or an ArtifactError`, () => {
    const random = randomNumbers(3);
    const values = Array.from({ length: 300 }, () => Math.floor(random() * 3) - 1);
    const bytes = encode(Coder, values);
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeOrFault(Coder, bytes.subarray(0, length), values.length)).not.toEqual(values);
    }
    for (let more = 0; more < 256; more++) {
      expect(decodeOrFault(Coder, Uint8Array.of(...bytes, more), values.length)).toBe(ArtifactError);
    }
    // five bytes fewer than decoding needs are found at once
    expect(decodeOrFault(Coder, bytes.subarray(0, bytes.length - 5), values.length)).toBe(ArtifactError);
  });

  test(`${name} with a flipped bit are other ${name} or an ArtifactError`, () => {
    const values = Array.from({ length: 100 }, (_, i) => ((i * i) % 3) - 1);
    const bytes = encode(Coder, values);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
      expect(decodeOrFault(Coder, flipped, values.length)).not.toEqual(values);
    }
  });
}

test('bytes that ask for a magnitude above 2^20 raise an ArtifactError with section and byte', () => {
  // nonzero, positive, above 1…14, exponent 19 and then all ones: 2^20 − 1 + 14
  const encoder = new RangeEncoder();
  encoder.encodeBit(new BitModel(), 1);
  encoder.encodeBit(new BitModel(), 0);
  for (let i = 0; i < 14 + 19 + 3; i++) encoder.encodeBit(new BitModel(), 1);
  encoder.encodeDirect(2 ** 16 - 1, 16);
  const decoder = new RangeDecoder(encoder.finish(), 'coefficients');
  expect(() => new SignedCoder().decode(decoder)).toThrow(
    /^coefficients at byte \d+: expected a magnitude up to 1048576, got 1048589$/,
  );
});

test('bytes that no encoder writes are found where they are read', () => {
  expect(() => new RangeDecoder(new Uint8Array(4).fill(255))).toThrow(ArtifactError);
  // 0xfffffffe is above 255 parts of ⌊(2^32 − 1) / 256⌋
  const beyond = new RangeDecoder(Uint8Array.of(255, 255, 255, 254));
  expect(() => beyond.decodeDirect(8)).toThrow('at byte 4: expected a value of 8 bits, got 256');
});

test('bytes that ended stop a reader that asks for a billion values', () => {
  for (const Coder of Object.values(CODERS)) {
    const decoder = new RangeDecoder(new Uint8Array(0), 'coefficients');
    const coder = new Coder();
    const readOn = () => {
      for (let i = 0; i < 1e9; i++) coder.decode(decoder);
    };
    expect(readOn).toThrow('coefficients at byte 0: expected more bytes, got the end');
  }
});

test('values outside the limits are refused when writing', () => {
  const encoder = new RangeEncoder();
  for (const value of [MAX_MAGNITUDE + 1, -MAX_MAGNITUDE - 1, 0.5, Number.NaN]) {
    expect(() => new SignedCoder().encode(encoder, value)).toThrow(ConfigError);
  }
  expect(() => new TritCoder().encode(encoder, 2)).toThrow(ConfigError);
  expect(() => encoder.encodeDirect(8, 3)).toThrow(ConfigError);
  expect(() => encoder.encodeDirect(0, 33)).toThrow(ConfigError);
});

type Coder = typeof SignedCoder | typeof TritCoder;

function encodeItems(items: Item[]): Uint8Array {
  const encoder = new RangeEncoder();
  const models = Array.from({ length: 4 }, () => new BitModel());
  for (const item of items) {
    if ('bit' in item) encoder.encodeBit(models[item.model], item.bit);
    else encoder.encodeDirect(item.value, item.bits);
  }
  return encoder.finish();
}

function encode(Coder: Coder, values: readonly number[]): Uint8Array {
  const encoder = new RangeEncoder();
  const coder = new Coder();
  for (const value of values) coder.encode(encoder, value);
  return encoder.finish();
}

function decode(Coder: Coder, bytes: Uint8Array, count: number): number[] {
  const decoder = new RangeDecoder(bytes);
  const coder = new Coder();
  const values = Array.from({ length: count }, () => coder.decode(decoder));
  decoder.expectEnd();
  return values;
}

/** What decoding gives, or ArtifactError; any other fault fails the test. */
function decodeOrFault(Coder: Coder, bytes: Uint8Array, count: number): number[] | typeof ArtifactError {
  try {
    return decode(Coder, bytes, count);
  } catch (error) {
    if (error instanceof ArtifactError) return ArtifactError;
    throw error;
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Bytes that an ideal coder needs that knows how often each value occurs. */
function entropyBytes(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= count * Math.log2(count / values.length);
  return bits / 8;
}

/** Numbers in [0, 1), always the same (mulberry32), so that sizes do not vary from run to run. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
