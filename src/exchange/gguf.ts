/**
 * The GGUF container of llama.cpp, version 3, as it is written: metadata, tensors, alignment; and its block formats
 * for trits and eight-bit integers. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

import { float16, toFloat16 } from './half-floats.js';

/** Types of tensors, by their numbers in ggml. */
export const GGML_TYPES = { f32: 0, f16: 1, q8_0: 8, tq1_0: 34, tq2_0: 35 } as const;
export type GgmlType = keyof typeof GGML_TYPES;

/** A matrix, or a vector of one row. */
export interface GgufTensor {
  readonly name: string;
  readonly type: GgmlType;
  readonly rows: number;
  readonly columns: number;
  readonly bytes: Uint8Array;
}

/** A value of the metadata: text, whole numbers, real numbers, flags, or a list of texts or whole numbers. */
export type GgufValue =
  | { readonly string: string }
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly bool: boolean }
  | { readonly strings: readonly string[] }
  | { readonly int32s: readonly number[] };

const VERSION = 3;
const ALIGNMENT = 32;
/** Types of values. */
const VALUE_TYPES = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const;
/** Weights of a block, and its bytes. */
export const BLOCK_WEIGHTS = { f32: 1, f16: 1, q8_0: 32, tq1_0: 256, tq2_0: 256 } as const;
export const BLOCK_BYTES = { f32: 4, f16: 2, q8_0: 34, tq1_0: 54, tq2_0: 66 } as const;

/** A whole file. */
export function encodeGguf(
  metadata: Readonly<Record<string, GgufValue>>,
  tensors: readonly GgufTensor[],
): Uint8Array {
  const head = new GgufWriter();
  head.bytes(new TextEncoder().encode('GGUF')).u32(VERSION).u64(tensors.length);
  head.u64(Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) head.string(key).value(value);
  let offset = 0;
  for (const { name, type, rows, columns, bytes } of tensors) {
    const shape = rows === 1 ? [columns] : [columns, rows];
    head.string(name).u32(shape.length);
    for (const size of shape) head.u64(size);
    head.u32(GGML_TYPES[type]).u64(offset);
    offset += aligned(bytes.length);
  }
  const data = new GgufWriter().bytes(head.finish()).pad();
  for (const { bytes } of tensors) data.bytes(bytes).pad();
  return data.finish();
}

/** Whether a scale is kept as it is: all types have theirs in binary16. */
export function isExactScale(scale: number): boolean {
  return float16(toFloat16(scale)) === scale;
}

/**
 * Values in blocks of a type. A product of trits and an exact scale is exact; f16 rounds one of larger integers to 11
 * bits, q8_0 keeps them.
 * @param values - [rows · columns] integers, trits for tq1_0 and tq2_0; rows are whole blocks
 * @param scale - what one is worth, exact
 */
export function quantized(
  { name, rows, columns }: Pick<GgufTensor, 'name' | 'rows' | 'columns'>,
  type: Exclude<GgmlType, 'f32'>,
  values: Int8Array,
  scale: number,
): GgufTensor {
  const block = BLOCK_WEIGHTS[type];
  const writer = new GgufWriter();
  const half = toFloat16(scale);
  for (let at = 0; at < values.length; at += block) {
    const part = values.subarray(at, at + block);
    switch (type) {
      case 'f16':
        writer.u16(toFloat16(part[0] * scale));
        break;
      case 'q8_0':
        writer.u16(half).bytes(new Uint8Array(part.buffer, part.byteOffset, block));
        break;
      case 'tq1_0':
        writer.bytes(packTq1(part)).u16(half);
        break;
      case 'tq2_0':
        writer.bytes(packTq2(part)).u16(half);
        break;
      default:
        return type satisfies never;
    }
  }
  return { name, type, rows, columns, bytes: writer.finish() };
}

/** A vector of equal float32 numbers. */
export function constant(name: string, columns: number, value: number): GgufTensor {
  const bytes = new Uint8Array(new Float32Array(columns).fill(value).buffer); // little-endian, as wasm is
  return { name, type: 'f32', rows: 1, columns, bytes };
}

/** 256 trits, two bits each: four that are 32 apart in a byte, from the lowest bits on. */
function packTq2(trits: Int8Array): Uint8Array {
  const bytes = new Uint8Array(64);
  trits.forEach((trit, i) => {
    const [half, place] = [i >> 7, i & 127];
    bytes[half * 32 + (place & 31)] |= (trit + 1) << (2 * (place >> 5));
  });
  return bytes;
}

/**
 * 256 trits, five a byte: those of the first 160 that are 32 apart, of the next 80 that are 16 apart, and four that
 * are 4 apart of the last 16. A byte is its number to the base 3, as a fraction of 3⁵ in 2⁻⁸, rounded up.
 */
function packTq1(trits: Int8Array): Uint8Array {
  const bytes = new Uint8Array(52);
  const fill = (at: number, first: number, apart: number, count: number) => {
    for (let byte = 0; byte < apart; byte++) {
      let number = 0;
      for (let digit = 0; digit < 5; digit++) {
        number = number * 3 + (digit < count ? trits[first + digit * apart + byte] + 1 : 0);
      }
      bytes[at + byte] = Math.ceil((number * 256) / 243);
    }
  };
  fill(0, 0, 32, 5);
  fill(32, 160, 16, 5);
  fill(48, 240, 4, 4);
  return bytes;
}

function aligned(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

/** Little-endian bytes that grow. */
class GgufWriter {
  #buffer = new Uint8Array(1024);
  #length = 0;

  bytes(part: Uint8Array): this {
    this.#reserve(part.length);
    this.#buffer.set(part, this.#length);
    this.#length += part.length;
    return this;
  }

  u16(value: number): this {
    return this.bytes(Uint8Array.of(value & 255, value >> 8));
  }

  u32(value: number): this {
    return this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): this {
    return this.u32(value % 2 ** 32).u32(Math.floor(value / 2 ** 32));
  }

  string(text: string): this {
    const encoded = new TextEncoder().encode(text);
    return this.u64(encoded.length).bytes(encoded);
  }

  value(value: GgufValue): this {
    if ('string' in value) return this.u32(VALUE_TYPES.string).string(value.string);
    if ('uint32' in value) return this.u32(VALUE_TYPES.uint32).u32(value.uint32);
    if ('float32' in value) {
      return this.u32(VALUE_TYPES.float32).bytes(new Uint8Array(Float32Array.of(value.float32).buffer));
    }
    if ('bool' in value) return this.u32(VALUE_TYPES.bool).bytes(Uint8Array.of(value.bool ? 1 : 0));
    const list = 'strings' in value ? value.strings : value.int32s;
    this.u32(VALUE_TYPES.array)
      .u32('strings' in value ? VALUE_TYPES.string : VALUE_TYPES.int32)
      .u64(list.length);
    for (const one of list) {
      if (typeof one === 'string') this.string(one);
      else this.u32(one);
    }
    return this;
  }

  pad(): this {
    return this.bytes(new Uint8Array(aligned(this.#length) - this.#length));
  }

  finish(): Uint8Array {
    return this.#buffer.slice(0, this.#length);
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return;
    const grown = new Uint8Array(2 * (this.#length + more));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
