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
    ['no bytes', bytes(0), /expected a file of safetensors, got an empty file/],
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
      /length at byte 0: expected a header of at most 8388608.*: leave some metadata out/,
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

  it.each([
    ['PK\x03\x04\x14\0\0\0\x08\x08', /a zip archive, as PyTorch's \.pt.*save_file/],
    ['\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P', /a pickle/],
    ['\x89HDF\r\n\x1a\n\0\0', /HDF5/],
    ['GGUF\x03\0\0\0\x1b\0\0\0', /GGUF/],
    ['TERN\x02H]\x99\x02\x83\xa7', /an artifact of ternseed, which needs no import/],
    ['\x08\x07\x12\x07pytorch\x1a\x052.1.0', /a protobuf, as ONNX/],
    ['\x1c\0\0\0TFL3\x14\0 \0', /TensorFlow Lite/],
    ['\x93NUMPY\x01\0v\0{', /a NumPy array/],
    ['\x89PNG\r\n\x1a\n\0\0', /a picture/],
    ['\x1f\x8b\x08\0\0\0\0\0\0\x03', /unpack it/],
    ['version https://git-lfs.github.com/spec/v1\noid', /a pointer of Git LFS/],
    ['\n<!DOCTYPE html><html>', /a web page/],
    ['{"metadata": {"total_size": 1}, "weight_map": {}}', /JSON: the weights are in another file/],
    ['\0\0\x08\x03\0\0\xea`\0\0\0\x1c', /IDX data/],
    ['label,pixel0,pixel1\n', /length at byte 0.*cut short, or no file of safetensors\?/],
  ])('of another format is called what it is: %j', async (text, what) => {
    const file = new Uint8Array(Buffer.from(text.padEnd(600, '\0'), 'latin1'));
    expect(() => readSafetensors(file)).toThrow(what);
    await expect(importSafetensors(file)).rejects.toThrow(InputError);
  });

  test('null metadata are none, as for the format’s own reader', () => {
    expect(readSafetensors(rawSafetensors({ __metadata__: null, ...OK }, bytes(4))).metadata).toEqual({});
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
  // A bfloat16 is the upper half of a float32, all of them.
  const floats = new Float32Array(Uint32Array.from({ length: 0x10000 }, (_, bits) => bits << 16).buffer);
  floats.forEach((value, bits) => {
    if (!Object.is(bfloat16(bits), value)) throw new Error(`bfloat16 0x${bits.toString(16)}`);
  });
});
