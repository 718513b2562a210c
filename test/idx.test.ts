/** Checks the IDX and gzip readers against zlib's output and against hostile bytes. */

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32 } from '../src/artifact/crc32.js';
import { gunzipBounded, parseIdx, UNPACKED_LIMIT_BYTES } from '../src/data/idx.js';
import { InputError } from '../src/errors.js';

// A 2×3 array, written by hand from the format's description.
const SMALL = Uint8Array.of(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 10, 20, 30, 40, 50, 60);
const HEADER_BYTES = 12;

test('the CRC-32 has its published check value, in one piece and in two', () => {
  // "check" of CRC-32/ISO-HDLC in the catalogue of parametrised CRC algorithms (Greg Cook)
  const bytes = new TextEncoder().encode('123456789');
  expect(crc32(bytes)).toBe(0xcbf43926);
  expect(crc32(bytes.subarray(4), crc32(bytes.subarray(0, 4)))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array(0))).toBe(0);
});

test('an IDX file gives its shape and its bytes in order', () => {
  expect(parseIdx(SMALL, 'small')).toEqual({ shape: [2, 3], data: Uint8Array.of(10, 20, 30, 40, 50, 60) });
});

test('any array of one to four dimensions is read back, wherever its bytes lie', () => {
  const shapes = fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(shapes, fc.nat({ max: 9 }), (shape, before) => {
      const size = shape.reduce((product, dimension) => product * dimension, 1);
      const data = Uint8Array.from({ length: size }, (_, i) => i);
      const dimensions = shape.flatMap((dimension) => [0, 0, 0, dimension]);
      const file = Uint8Array.of(...new Uint8Array(before), 0, 0, 8, shape.length, ...dimensions, ...data);
      expect(parseIdx(file.subarray(before), 'any')).toEqual({ shape, data });
    }),
  );
});

test('an IDX file cut at any byte, or with one byte too many, is an InputError', () => {
  for (let length = 0; length < SMALL.length; length++) {
    expect(() => parseIdx(SMALL.subarray(0, length), 'cut')).toThrow(InputError);
  }
  expect(() => parseIdx(Uint8Array.of(...SMALL, 0), 'long')).toThrow(InputError);
});

test('a flipped bit anywhere in an IDX header is an InputError', () => {
  for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
    if (bit === 2 * 8) continue; // type 9: signed bytes
    expect(() => parseIdx(flipped(SMALL, bit), 'flipped')).toThrow(InputError);
  }
});

test('dimensions whose product overflows or is zero are an InputError', () => {
  const huge = Uint8Array.of(0, 0, 8, 4, ...new Uint8Array(16).fill(255));
  expect(() => parseIdx(huge, 'huge')).toThrow(InputError);
  // 2^16 · 2^16 · 2^16 · 2^16 = 2^64, which is 0 in 32 and in 64 bits
  const wraps = Uint8Array.of(0, 0, 8, 4, ...[0, 1, 2, 3].flatMap(() => [0, 1, 0, 0]));
  expect(() => parseIdx(wraps, 'wraps')).toThrow(InputError);
  expect(() => parseIdx(Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 0), 'empty')).toThrow('at byte 4');
});

test('an error names the file, what was expected, what was got and where', () => {
  expect(() => parseIdx(SMALL.subarray(0, 17), 'a\u001b[31m')).toThrow(
    '"a\\u{1b}[31m" expected 2×3 = 6 bytes of data, got 5, at byte 12',
  );
});

test('values of every type are read, big-endian', () => {
  // "THE IDX FILE FORMAT": 0x08 unsigned byte, 0x09 signed byte, 0x0B short, 0x0C int, 0x0D float, 0x0E double.
  const types: [type: number, bytes: number[], values: number[]][] = [
    [0x09, [0xff, 0x80], [-1, -128]],
    [0x0b, [0x01, 0x02, 0xff, 0xfe], [258, -2]],
    [0x0c, [0, 0, 1, 0, 0x80, 0, 0, 0], [256, -(2 ** 31)]],
    [0x0d, [0x3f, 0xc0, 0, 0, 0xbf, 0, 0, 0], [1.5, -0.5]],
    [0x0e, [0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0], [1.5, -2]],
  ];
  for (const [type, bytes, values] of types) {
    const file = Uint8Array.of(0, 0, type, 1, 0, 0, 0, 2, ...bytes);
    const { shape, data } = parseIdx(file, 'typed');
    expect([shape, [...data]]).toEqual([[2], values]);
    expect(() => parseIdx(file.subarray(0, -1), 'cut')).toThrow(InputError);
  }
  expect(() => parseIdx(Uint8Array.of(0, 0, 0x0a, 1, 0, 0, 0, 1, 0), 'unknown')).toThrow('00 00 0a 01');
});

test('numbers that are not finite are an InputError with their place', () => {
  for (const bytes of [
    [0x7f, 0xc0, 0, 0],
    [0xff, 0x80, 0, 0],
  ]) {
    const file = Uint8Array.of(0, 0, 0x0d, 1, 0, 0, 0, 2, 0, 0, 0, 0, ...bytes);
    expect(() => parseIdx(file, 'odd')).toThrow(
      /"odd" expected a finite number, got (NaN|-Infinity), at byte 12/,
    );
  }
});

test('gzip of several members is unpacked, and each is checked', () => {
  const parts = [text(400), new Uint8Array(0), text(70_000), text(1), text(2 ** 16)];
  const packed = parts.map((part) => gzipSync(part));
  const whole = Buffer.concat(parts);
  const all = Buffer.concat(packed);
  expect(Buffer.from(gunzipBounded(all, 'members', whole.length))).toEqual(whole);
  expect(() => gunzipBounded(all, 'members', whole.length - 1)).toThrow('at most');
  for (let bit = packed[0].length * 8 - 64; bit < packed[0].length * 8; bit += 7) {
    expect(() => gunzipBounded(flipped(all, bit), 'members', 2 ** 20)).toThrow(InputError);
  }
  for (const end of [1, 3, 4, 9, 300]) {
    expect(() => gunzipBounded(all.subarray(0, -end), 'cut', 2 ** 20)).toThrow(InputError);
    expect(() => gunzipBounded(Buffer.concat([all, Buffer.alloc(end, 7)]), 'long', 2 ** 20)).toThrow(
      InputError,
    );
  }
  const empties = Buffer.concat(Array.from({ length: 5000 }, () => gzipSync('')));
  expect(gunzipBounded(empties, 'empties', 10)).toHaveLength(0);
});

test("zlib's gzip of any bytes is unpacked, and anything else is left alone", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      expect(gunzipBounded(gzipSync(bytes), 'any', UNPACKED_LIMIT_BYTES)).toEqual(bytes);
    }),
  );
  expect(gunzipBounded(SMALL, 'raw', 0)).toBe(SMALL);
});

test('a gzip file cut at any byte is an InputError', () => {
  const packed = new Uint8Array(gzipSync(text(400)));
  for (let length = 2; length < packed.length; length++) {
    expect(() => gunzipBounded(packed.subarray(0, length), 'cut', 1000)).toThrow(InputError);
  }
});

test('a gzip file with a flipped bit gives the same bytes or an InputError', () => {
  const bytes = text(400);
  const packed = new Uint8Array(gzipSync(bytes));
  for (let bit = 16; bit < packed.length * 8; bit++) {
    const unpacked = outcome(() => gunzipBounded(flipped(packed, bit), 'flipped', 1000));
    if (unpacked !== InputError) expect(unpacked).toEqual(bytes);
  }
});

test('a wrong CRC-32, a wrong size and bytes after the end are each an InputError', () => {
  const packed = new Uint8Array(gzipSync(text(400)));
  const crcBit = (packed.length - 8) * 8;
  const sizeBit = (packed.length - 4) * 8;
  expect(() => gunzipBounded(flipped(packed, crcBit), 'f', 1000)).toThrow('CRC-32');
  expect(() => gunzipBounded(flipped(packed, sizeBit), 'f', 1000)).toThrow(
    'unpacked bytes in one gzip member',
  );
  expect(() => gunzipBounded(Uint8Array.of(...packed, 1), 'f', 1000)).toThrow(InputError);
});

test('zeros after the last member are padding, as gzip has it', () => {
  const content = text(400);
  for (const members of [
    [content],
    [content.subarray(0, 256), content.subarray(256)],
    [new Uint8Array(65_536)],
  ]) {
    const packed = Buffer.concat(members.map((member) => gzipSync(member)));
    for (const zeros of [1, 7, 8, 500]) {
      const padded = new Uint8Array(Buffer.concat([packed, Buffer.alloc(zeros)]));
      const whole = new Uint8Array(Buffer.concat(members));
      expect(Buffer.compare(Buffer.from(gunzipBounded(padded, 'f', 100_000)), Buffer.from(whole))).toBe(0);
    }
  }
});

test('a file that unpacks to more than the limit, or than it states, is an InputError', () => {
  const bomb = new Uint8Array(gzipSync(new Uint8Array(5_000_000)));
  expect(gunzipBounded(bomb, 'bomb', 5_000_000)).toHaveLength(5_000_000);
  expect(() => gunzipBounded(bomb, 'bomb', 4_999_999)).toThrow('at most 4999999 unpacked bytes, got 5000000');
  const lying = bomb.slice();
  new DataView(lying.buffer).setUint32(lying.length - 4, 1000, true);
  expect(() => gunzipBounded(lying, 'bomb', 1000)).toThrow(
    'expected 1000 unpacked bytes in one gzip member, got more',
  );
});

test('random bytes behind a gzip header never give anything but an InputError', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const file = Uint8Array.of(0x1f, 0x8b, 8, 0, ...bytes);
      expect(outcome(() => gunzipBounded(file, 'random', 1e6))).toBe(InputError);
    }),
  );
});

function text(lengthBytes: number): Uint8Array {
  return Uint8Array.from({ length: lengthBytes }, (_, i) => (i * i * 7) % 23);
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.map((byte, i) => (i === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
}

/** What a call returns, or InputError; any other fault fails the test. */
function outcome<T>(call: () => T): T | typeof InputError {
  try {
    return call();
  } catch (error) {
    if (error instanceof InputError) return InputError;
    throw error;
  }
}
