/** GGUF exports, read back by an independent reader of the container and by block formats written from ggml's source. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type GGUFParseOutput, gguf } from '@huggingface/gguf';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exportGguf, type GgufForm, requireGguf } from '../src/exchange/export-gguf.js';
import { float16, toFloat16 } from '../src/exchange/half-floats.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { FloatTransformer } from './support/float-transformer.js';
import { randomText, randomValues, SMALL_SHAPE } from './support/transformers.js';

const WIDE: TransformerShape = {
  ...{ blocks: 2, width: 256, heads: 4, keyHeads: 2, hidden: 256, context: 16 },
  ...{ loopFrom: 1, loopTo: 2, loops: 2, tied: false, embedding: 'int8' },
};

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-gguf-'));
});
afterAll(() => rm(folder, { recursive: true }));

function exported(
  shape: TransformerShape,
  form: GgufForm,
  values = randomValues(transformerOf(shape), 4),
): Uint8Array {
  const network = transformerOf(shape);
  return exportGguf({ network, weightsHash: 'ab' }, values, { form, producer: 'test 1' });
}

async function parsed(bytes: Uint8Array): Promise<GGUFParseOutput> {
  const path = join(folder, 'model.gguf');
  await writeFile(path, bytes);
  return gguf(path, { allowLocalFile: true });
}

/** Real values of a tensor, by the block formats of ggml-quants.c. */
function dequantized(
  bytes: Uint8Array,
  { tensorInfos, tensorDataOffset }: GGUFParseOutput,
  name: string,
): number[] {
  const info = tensorInfos.find((one) => one.name === name);
  if (!info) throw new Error(`no tensor ${name}`);
  const count = info.shape.reduce((product, size) => product * Number(size), 1);
  let at = Number(tensorDataOffset) + Number(info.offset);
  const half = (place: number) => float16(bytes[place] | (bytes[place + 1] << 8));
  const values: number[] = [];
  while (values.length < count) {
    switch (Number(info.dtype)) {
      case 0:
        values.push(new DataView(bytes.buffer, bytes.byteOffset).getFloat32(at, true));
        at += 4;
        break;
      case 1:
        values.push(half(at));
        at += 2;
        break;
      case 8:
        for (let i = 0; i < 32; i++) values.push(((bytes[at + 2 + i] << 24) >> 24) * half(at));
        at += 34;
        break;
      case 35:
        for (const j of [0, 32]) {
          for (let l = 0; l < 4; l++) {
            for (let m = 0; m < 32; m++)
              values.push((((bytes[at + j + m] >> (2 * l)) & 3) - 1) * half(at + 64));
          }
        }
        at += 66;
        break;
      case 34: {
        const powers = [1, 3, 9, 27, 81];
        const trit = (byte: number, n: number) => (((byte * powers[n]) & 255) * 3) >> 8;
        const put = (from: number, width: number, digits: number) => {
          for (let n = 0; n < digits; n++) {
            for (let m = 0; m < width; m++) values.push((trit(bytes[from + m], n) - 1) * half(at + 52));
          }
        };
        put(at, 32, 5);
        put(at + 32, 16, 5);
        put(at + 48, 4, 4);
        at += 54;
        break;
      }
      default:
        throw new Error(`type ${info.dtype}`);
    }
  }
  return values;
}

describe('toFloat16', () => {
  it('gives every binary16 back, and the nearest of any number', () => {
    for (let bits = 0; bits <= 0x7c00; bits++) {
      for (const signed of [bits, 0x8000 | bits]) {
        if (toFloat16(float16(signed)) !== signed) throw new Error(`binary16 0x${signed.toString(16)}`);
      }
    }
    expect([toFloat16(-1), toFloat16(65_519), toFloat16(65_520), toFloat16(-0)]).toEqual([
      0xbc00, 0x7bff, 0x7c00, 0x8000,
    ]);
    fc.assert(
      fc.property(fc.double({ min: 1e-7, max: 65_000, noNaN: true }), (value) => {
        const bits = toFloat16(value);
        const distance = (other: number) => Math.abs(float16(other) - value);
        expect(distance(bits)).toBeLessThanOrEqual(distance(bits + 1));
        if (bits > 0) expect(distance(bits)).toBeLessThanOrEqual(distance(bits - 1));
      }),
    );
  });
});

describe('a GGUF export', () => {
  it('says what llama.cpp wants to know', async () => {
    const { metadata, tensorInfos } = await parsed(exported(WIDE, 'tq2_0'));
    expect(metadata).toMatchObject({
      version: 3,
      'general.architecture': 'llama',
      'llama.block_count': 3, // the second twice
      'llama.attention.head_count': 4,
      'llama.attention.head_count_kv': 2,
      'llama.context_length': 16,
      'ternseed.weights_hash': 'ab',
      'general.quantization_version': 2,
    });
    const tokens = (metadata as unknown as Record<string, string[]>)['tokenizer.ggml.tokens'];
    expect(new Set(tokens).size).toBe(256);
    expect([tokens[65], tokens[32], tokens[10], tokens[255]]).toEqual(['A', 'Ġ', 'Ċ', 'ÿ']);
    const names = tensorInfos.map(({ name }) => name);
    expect(names).toHaveLength(3 + 3 * 9);
    expect(tensorInfos.find(({ name }) => name === 'blk.2.attn_k.weight')?.shape.map(Number)).toEqual([
      256, 128,
    ]);
  });

  it.each([
    // llama.h: LLAMA_FTYPE_MOSTLY_F16, _TQ1_0, _TQ2_0
    ['f16', 1],
    ['tq1_0', 36],
    ['tq2_0', 37],
  ] as const)('as %s says that it is of file type %i', async (form, type) => {
    const { metadata } = await parsed(exported(WIDE, form));
    expect(metadata).toMatchObject({ 'general.file_type': type });
  });

  it.each(['tq2_0', 'tq1_0', 'f16'] as const)(
    'as %s is the real-valued model that the integers stand for',
    async (form) => {
      const model = transformerOf(WIDE);
      const bytes = exported(WIDE, form);
      const file = await parsed(bytes);
      const float = new FloatTransformer(model, randomValues(model, 4));
      const exact = (name: string, expected: number[]) => {
        expect(dequantized(bytes, file, name).every((value, i) => value === expected[i])).toBe(true);
      };
      // Eight bits by seven of a scale are more than the eleven of binary16, which f16 rounds to.
      const eight = (name: string, expected: number[]) =>
        exact(name, form === 'f16' ? expected.map((value) => float16(toFloat16(value))) : expected);
      eight('token_embd.weight', float.matrixOf(model.embed, 2 ** (8 - 12)).flat());
      exact('blk.0.attn_q.weight', float.matrixOf(model.layers[0].query, 2 ** (5 - 4 - 7)).flat());
      exact('blk.2.ffn_down.weight', float.matrixOf(model.layers[1].down, 2 ** (4 - 12)).flat());
      exact('blk.1.attn_output.weight', float.matrixOf(model.layers[1].output, 2 ** (5 - 12)).flat());
      eight('output.weight', float.matrixOf(model.head, 2 ** (5 - 10)).flat());
      exact('output_norm.weight', new Array(256).fill(Math.fround(Math.LN2))); // bits to nats
      expect(float.lossBits(randomText(1, 9))).toHaveLength(8);
    },
  );

  it('of rows that are no multiples of 256 takes f16 alone', async () => {
    expect(() => exported(SMALL_SHAPE, 'tq2_0')).toThrow(
      '"dtype" expected rows that are multiples of 256 for tq2_0, got 32 in blk.0.attn_q.weight: use "f16", which takes any',
    );
    const { tensorInfos } = await parsed(exported(SMALL_SHAPE, 'f16'));
    expect(tensorInfos).toHaveLength(3 + 2 * 9);
  });

  it('has every scale as it is, or is refused with the name of the matrix', async () => {
    const model = transformerOf(SMALL_SHAPE);
    const { offset } = model.scales;
    const place = offset + 2 * model.layers[1].up.scale;
    const scaled = (mantissa: number, exponent: number) => {
      const values = randomValues(model, 4);
      values.set([mantissa, exponent], place);
      return exported(SMALL_SHAPE, 'f16', values);
    };
    // A sum of `up` in 2^-5 becomes one in 2^-4: its real scale is mantissa · 2^(1 - exponent).
    for (const [mantissa, exponent] of [
      [127, 1],
      [127, 25],
      [96, 30],
      [64, 31],
    ]) {
      const bytes = scaled(mantissa, exponent);
      const read = dequantized(bytes, await parsed(bytes), 'blk.1.ffn_up.weight');
      const scale = mantissa * 2 ** (1 - exponent);
      expect(new Set(read.map(Math.abs))).toEqual(new Set([0, scale]));
    }
    for (const [mantissa, exponent] of [
      [127, 26],
      [64, 32],
      [1, 60],
      [127, 127],
    ]) {
      expect(() => scaled(mantissa, exponent)).toThrow(
        `"blk.1.ffn_up.weight" expected a scale that is a multiple of 2^-24, as GGUF keeps scales in binary16, got ${mantissa} · 2^${1 - exponent}`,
      );
    }
  });

  it('of a small artifact whose loops make a long file is refused before work', () => {
    const looped = { ...WIDE, width: 2048, hidden: 2048, blocks: 2, loopFrom: 0, loopTo: 2, loops: 64 };
    const network = transformerOf(looped);
    expect(() => requireGguf({ network }, 'f16')).toThrow(
      '"dtype" expected a form of at most 1073741824 bytes',
    );
  });
});
