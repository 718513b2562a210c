/**
 * The safetensors reader: files that are right, files that lie, and properties. Every fault is an
 * InputError with its place; no allocation is larger than the file.
 */

import fc from 'fast-check';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { InputError } from '../src/errors.js';
import { bfloat16, float16 } from '../src/exchange/half-floats.js';
import { importSafetensors } from '../src/exchange/import-safetensors.js';
import {
  DTYPE_BYTES,
  type Dtype,
  encodeSafetensors,
  readSafetensors,
  SAFETENSORS_HEADER_MAX,
} from '../src/exchange/safetensors.js';
import { rawSafetensors, real } from './support/safetensors-files.js';

const entry = (dtype: unknown, shape: unknown, offsets: unknown) => ({ dtype, shape, data_offsets: offsets });
const bytes = (length: number) => new Uint8Array(length);

afterEach(() => vi.restoreAllMocks());

describe('a safetensors file', () => {
  it('as the format’s documentation has it is read', () => {
    // huggingface/safetensors, the example of its Rust crate: one I32 [2, 2] of zeros.
    const header = '{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}';
    const { metadata, tensors } = readSafetensors(rawSafetensors(header, bytes(16)));
    expect(metadata).toEqual({});
    expect(tensors).toEqual([
      { name: 'test', dtype: 'I32', shape: [2, 2], offset: 8 + header.length, bytes: bytes(16) },
    ]);
  });

  it('is written with an aligned header and read back, whatever it holds', () => {
    const tensor = fc
      .record({
        name: fc
          .string({ unit: 'grapheme' })
          .filter((name) => name !== '__metadata__' && name !== '__proto__'),
        dtype: fc.constantFrom(...(Object.keys(DTYPE_BYTES) as Dtype[])),
        shape: fc.array(fc.nat(4), { maxLength: 3 }),
      })
      .map(({ name, dtype, shape }) => {
        const size = shape.reduce((product, one) => product * one, DTYPE_BYTES[dtype]);
        return { name, dtype, shape, bytes: Uint8Array.from({ length: size }, (_, i) => i * 7) };
      });
    const all = fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 });
    const metadata = fc.dictionary(
      fc.string().filter((key) => key !== '__proto__'),
      fc.string(),
    );
    fc.assert(
      fc.property(metadata, all, (texts, tensors) => {
        const file = encodeSafetensors(texts, tensors);
        expect(new DataView(file.buffer).getBigUint64(0, true) % 8n).toBe(0n);
        const back = readSafetensors(file);
        expect({ ...back.metadata }).toEqual({ ...texts });
        const plain = back.tensors.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }));
        // Tensors without bytes share a place, so their order is not kept.
        const sorted = (list: typeof plain) => [...list].sort((a, b) => (a.name < b.name ? -1 : 1));
        expect(sorted(plain)).toEqual(sorted([...tensors]));
      }),
    );
  });
});

describe('a file that lies is refused with the place:', () => {
  const OK = { a: entry('U8', [4], [0, 4]) };
  const CASES: [string, Uint8Array, RegExp][] = [
    ['no bytes', bytes(0), /length at byte 0: expected 8 bytes, got 0/],
    ['seven bytes', bytes(7), /length at byte 7/],
    [
      'a header longer than the file',
      rawSafetensors('{}', bytes(0), 3n),
      /length at byte 0: expected a header of at most 2 bytes/,
    ],
    [
      'a header of 2^64 − 1 bytes',
      rawSafetensors('{}', bytes(0), 2n ** 64n - 1n),
      /length at byte 0.*18446744073709551615/,
    ],
    ['a header of 2^53 bytes', rawSafetensors('{}', bytes(0), 2n ** 53n), /length at byte 0/],
    [
      'a header above the limit',
      rawSafetensors(`{}${' '.repeat(SAFETENSORS_HEADER_MAX)}`, bytes(0)),
      /length at byte 0: expected a header of at most 1048576/,
    ],
    ['no JSON', rawSafetensors('{"a":', bytes(4)), /header at byte 8: expected JSON: /],
    [
      'no UTF-8',
      rawSafetensors('{"\udcff":1}', bytes(0), undefined, true),
      /header at byte 8: expected JSON in UTF-8/,
    ],
    ['a byte order mark', rawSafetensors(`\ufeff${JSON.stringify(OK)}`, bytes(4)), /header at byte 8/],
    [
      'a tensor that is named twice',
      rawSafetensors(
        '{"a":{"dtype":"U8","shape":[4,1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[1,4],"data_offsets":[0,4]}}',
        bytes(4),
      ),
      /header at byte 8: expected every key once/,
    ],
    [
      'a shape that is told twice',
      rawSafetensors('{"a":{"dtype":"U8","shape":[4,1],"shape":[1,4],"data_offsets":[0,4]}}', bytes(4)),
      /header at byte 8: expected every key once/,
    ],
    [
      'metadata that are told twice',
      rawSafetensors('{"__metadata__":{"a\\"b:":"1","a\\"b:":"2"}}', bytes(0)),
      /header at byte 8: expected every key once/,
    ],
    ['a list', rawSafetensors('[]', bytes(0)), /header at byte 8: expected a JSON object/],
    [
      'deep JSON',
      rawSafetensors(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, bytes(0)),
      /byte 8: expected/,
    ],
    [
      'metadata of numbers',
      rawSafetensors({ __metadata__: { a: 1 } }, bytes(0)),
      /"__metadata__" to be an object of texts/,
    ],
    [
      'a tensor that is null',
      rawSafetensors({ a: null }, bytes(0)),
      /"a" to have dtype, shape and data_offsets/,
    ],
    [
      'a tensor with more keys',
      rawSafetensors({ a: { ...OK.a, x: 1 } }, bytes(4)),
      /"a" to have dtype, shape/,
    ],
    [
      'an unknown dtype',
      rawSafetensors({ a: entry('F80', [4], [0, 4]) }, bytes(4)),
      /"a" to have a dtype of .*, got "F80"/,
    ],
    [
      'a dtype of every object',
      rawSafetensors({ a: entry('toString', [4], [0, 4]) }, bytes(4)),
      /got "toString"/,
    ],
    [
      'a dtype that is no text',
      rawSafetensors({ a: entry({}, [4], [0, 4]) }, bytes(4)),
      /got something else/,
    ],
    [
      'a negative size',
      rawSafetensors({ a: entry('U8', [-4], [0, 4]) }, bytes(4)),
      /a shape of at most 8 sizes/,
    ],
    [
      'a size that is no integer',
      rawSafetensors({ a: entry('U8', [0.5, 8], [0, 4]) }, bytes(4)),
      /a shape of/,
    ],
    ['nine dimensions', rawSafetensors({ a: entry('U8', Array(9).fill(1), [0, 1]) }, bytes(1)), /a shape of/],
    [
      'a shape of 2^60 elements',
      rawSafetensors({ a: entry('F32', [2 ** 30, 2 ** 30], [0, 4]) }, bytes(4)),
      /"a" to have \d+ bytes/,
    ],
    [
      'a shape that overflows to nothing',
      rawSafetensors({ a: entry('U8', [2 ** 52, 2 ** 52, 2 ** 52], [0, 0]) }, bytes(0)),
      /"a" to have/,
    ],
    [
      'offsets backwards',
      rawSafetensors({ a: entry('U8', [4], [4, 0]) }, bytes(4)),
      /data_offsets \[begin, end\]/,
    ],
    ['three offsets', rawSafetensors({ a: entry('U8', [4], [0, 4, 4]) }, bytes(4)), /data_offsets/],
    [
      'offsets past the file',
      rawSafetensors({ a: entry('U8', [2 ** 40], [0, 2 ** 40]) }, bytes(4)),
      /"a" at byte \d+: expected to end within 4 bytes/,
    ],
    [
      'overlapping tensors',
      rawSafetensors({ ...OK, b: entry('U8', [4], [2, 6]) }, bytes(6)),
      /"b" at byte \d+: expected to begin at 4 of the data, got 2/,
    ],
    [
      'one tensor twice',
      rawSafetensors({ ...OK, b: entry('U8', [4], [0, 4]) }, bytes(4)),
      /"b" at byte \d+: expected to begin at 4/,
    ],
    [
      'a hole',
      rawSafetensors({ ...OK, b: entry('U8', [1], [5, 6]) }, bytes(6)),
      /"b" at byte \d+: expected to begin at 4 of the data, got 5/,
    ],
    ['bytes of no tensor', rawSafetensors(OK, bytes(5)), /data at byte \d+: expected the end, got 1 bytes/],
    [
      'a name with terminal codes',
      rawSafetensors({ '\u001b[31m': null }, bytes(0)),
      /"\\u\{1b\}\[31m" to have/,
    ],
  ];

  it.each(CASES)('%s', async (_, file, reason) => {
    const make = vi.spyOn(globalThis, 'Float64Array');
    expect(() => readSafetensors(file)).toThrow(reason);
    expect(() => readSafetensors(file)).toThrow(InputError);
    await expect(importSafetensors(file)).rejects.toThrow(InputError);
    expect(make).not.toHaveBeenCalled();
  });

  it('cut at any byte', () => {
    const file = real([3, 2, 2]);
    for (let length = 0; length < file.length; length++) {
      expect(() => readSafetensors(file.subarray(0, length))).toThrow(InputError);
    }
  });

  test('any change of any bytes gives a model of finite numbers or an InputError', async () => {
    const file = real([3, 4, 2]);
    const change = fc.record({ at: fc.nat(file.length - 1), to: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const changed = file.slice();
        for (const { at, to } of changes) changed[at] = to;
        const model = await importSafetensors(changed).catch((error: unknown) => error);
        if (model instanceof InputError) return;
        expect(model).toMatchObject({ kind: 'real' });
        const { layers } = model as { layers: { weights: Float64Array }[] };
        expect(layers.every(({ weights }) => weights.every(Number.isFinite))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('any JSON in the header is an InputError or a file', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.uint8Array({ maxLength: 16 }), (json, data) => {
        try {
          readSafetensors(rawSafetensors(json, data));
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
    );
  });
});

test('numbers of sixteen bits are those of IEEE 754', () => {
  // IEEE 754-2019 binary16 and the table of en.wikipedia.org/wiki/Half-precision_floating-point_format
  for (const [bits, value] of [
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3555, 0.333251953125],
    [0x3c00, 1],
    [0x7bff, 65504],
    [0x8000, -0],
    [0xc000, -2],
    [0xfc00, Number.NEGATIVE_INFINITY],
    [0x7e00, Number.NaN],
  ]) {
    expect(float16(bits)).toBe(value);
  }
  const halves = new Float32Array(new Uint32Array([0x3f800000, 0xc0490000, 0x7f7f0000]).buffer);
  expect([0x3f80, 0xc049, 0x7f7f].map(bfloat16)).toEqual([...halves]);
});
