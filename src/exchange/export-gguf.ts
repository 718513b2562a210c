/**
 * A transformer for llama.cpp and whatever else reads GGUF: architecture `llama`, trits as TQ2_0 or TQ1_0, embedding
 * and head as Q8_0, a vocabulary of the 256 bytes. What is exported is the real-valued model that the integers stand
 * for; blocks that are applied several times are written as often. Scales are exact, or the export is refused.
 */

import { ArtifactError, ConfigError } from '../errors.js';
import type { Artifact } from '../artifact/artifact.js';
import {
  type BlockMatrix,
  isTransformer,
  type ScaledMatrix,
  type Transformer,
} from '../ternary/builders/transformer.js';
import {
  EMBEDDING_SHIFT,
  FINER_BITS,
  GATE_BITS,
  HEAD_BITS,
  HIDDEN_BITS,
  LOGIT_BITS,
  MIX_BITS,
  NORM_BITS,
  RESIDUAL_BITS,
  VOCABULARY,
} from '../ternary/units.js';
import {
  BLOCK_BYTES,
  BLOCK_WEIGHTS,
  constant,
  encodeGguf,
  type GgmlType,
  type GgufTensor,
  type GgufValue,
  isExactScale,
  quantized,
} from './gguf.js';

/** How trits are written. */
export const GGUF_FORMS = ['tq2_0', 'tq1_0', 'f16'] as const;
export type GgufForm = (typeof GGUF_FORMS)[number];

export interface GgufOptions {
  readonly form: GgufForm;
  /** Who writes: a name and a version. */
  readonly producer: string;
}

/** Each matrix of a block: its name in llama.cpp, and the unit that its scale brings a sum of its inputs to. */
const BLOCK: Readonly<Record<BlockMatrix, readonly [name: string, from: number, to: number]>> = {
  query: ['attn_q', NORM_BITS, HEAD_BITS + FINER_BITS],
  key: ['attn_k', NORM_BITS, HEAD_BITS + FINER_BITS],
  value: ['attn_v', NORM_BITS, HEAD_BITS + FINER_BITS],
  output: ['attn_output', MIX_BITS, RESIDUAL_BITS],
  gate: ['ffn_gate', NORM_BITS, GATE_BITS],
  up: ['ffn_up', NORM_BITS, GATE_BITS],
  down: ['ffn_down', HIDDEN_BITS, RESIDUAL_BITS],
};

/** What llama.cpp calls files of mostly one type: `llama_ftype` of its llama.h. */
const FILE_TYPES: Readonly<Record<GgufForm, number>> = { f16: 1, tq1_0: 36, tq2_0: 37 };
/** The version of the block formats of ggml, `GGML_QNT_VERSION`. */
const QUANTIZATION_VERSION = 2;
/** A file may not be longer: it is made in memory, and loops can make a small artifact any length. */
export const GGUF_BYTES_MAX = 2 ** 30;

/** Our normalization divides by the root itself; llama.cpp adds this to its square. */
const EPSILON = 1e-12;

/** A matrix of the export: its name in llama.cpp, and the units that its scale leads between. */
interface Written {
  readonly name: string;
  readonly matrix: ScaledMatrix;
  readonly from: number;
  readonly to: number;
}

/** All matrices, in the order of the file; a block that is applied several times comes as often. */
function matricesOf(model: Transformer): readonly Written[] {
  const { embed, head, headShift } = model;
  const blocks = model.order.flatMap((layer, block) =>
    Object.entries(BLOCK).map(([key, [name, from, to]]) => {
      const matrix = model.layers[layer][key as BlockMatrix];
      return { name: `blk.${block}.${name}.weight`, matrix, from, to };
    }),
  );
  return [
    { name: 'token_embd.weight', matrix: embed, from: EMBEDDING_SHIFT, to: RESIDUAL_BITS },
    ...blocks,
    { name: 'output.weight', matrix: head, from: NORM_BITS - headShift, to: LOGIT_BITS },
  ];
}

function typeOf({ matrix }: Written, form: GgufForm): Exclude<GgmlType, 'f32'> {
  const { values, columns } = matrix.weights;
  if (values === 'trit') return form;
  return columns % BLOCK_WEIGHTS.q8_0 === 0 && form !== 'f16' ? 'q8_0' : 'f16';
}

/**
 * Refuses what cannot be written by its shape alone, before anything is rebuilt.
 * @returns the model
 * @throws {ArtifactError} when it is a perceptron's
 * @throws {ConfigError} when rows are not multiples of 256, which trits need, or the file would be too long
 */
export function requireGguf({ network: model }: Pick<Artifact, 'network'>, form: GgufForm): Transformer {
  if (!isTransformer(model)) {
    throw new ArtifactError(
      `header at byte 5: expected a transformer, got the perceptron ${model.name}: export it as "safetensors"`,
    );
  }
  let bytes = 0;
  for (const one of matricesOf(model)) {
    const type = typeOf(one, form);
    const { rows, columns } = one.matrix.weights;
    const block = BLOCK_WEIGHTS[type];
    if (columns % block !== 0) {
      throw new ConfigError(
        `"dtype" expected rows that are multiples of ${block} for ${type}, got ${columns} in ${one.name}: ` +
          'use "f16", which takes any',
      );
    }
    bytes += (rows * columns * BLOCK_BYTES[type]) / block;
  }
  if (bytes > GGUF_BYTES_MAX) {
    throw new ConfigError(
      `"dtype" expected a form of at most ${GGUF_BYTES_MAX} bytes, got ${form} with ${bytes}, as blocks are written ` +
        'as often as they are applied: use "tq1_0", or fewer loops',
    );
  }
  return model;
}

/**
 * Writes a transformer as GGUF.
 * @param artifact - an opened artifact of a transformer
 * @param values - what it rebuilds to
 * @throws {ArtifactError} when it is a perceptron's, or a scale is none that binary16 has, naming the matrix
 * @throws {ConfigError} when rows are not multiples of 256, which trits need: "f16" takes any
 * @example exportGguf(artifact, await rebuildVerified(artifact, backend), { form: 'tq2_0', producer: 'me 1.0' })
 */
export function exportGguf(
  artifact: Pick<Artifact, 'network' | 'weightsHash'>,
  values: Int8Array,
  { form, producer }: GgufOptions,
): Uint8Array {
  const { weightsHash } = artifact;
  const model = requireGguf(artifact, form);
  const written = matricesOf(model).map((one): GgufTensor => {
    const { name, matrix, from, to } = one;
    const at = model.scales.offset + 2 * matrix.scale;
    const [mantissa, exponent] = [values[at], values[at + 1]];
    const scale = mantissa * 2 ** (from - to - exponent);
    // What binary16 has not would be rounded, below 2^-25 to 0.
    if (!isExactScale(scale)) {
      throw new ArtifactError(
        `"${name}" expected a scale that is a multiple of 2^-24, as GGUF keeps scales in binary16, got ` +
          `${mantissa} · 2^${from - to - exponent}: export it as "packed" or "json", which keep it`,
      );
    }
    const { rows, columns, offset } = matrix.weights;
    const integers = values.subarray(offset, offset + rows * columns);
    return quantized({ name, rows, columns }, typeOf(one, form), integers, scale);
  });
  const [embedding, head] = [written[0], written[written.length - 1]];
  const perBlock = Object.keys(BLOCK).length;
  const tensors = [
    embedding,
    ...model.order.flatMap((_, block) => [
      constant(`blk.${block}.attn_norm.weight`, model.width, 1),
      constant(`blk.${block}.ffn_norm.weight`, model.width, 1),
      ...written.slice(1 + block * perBlock, 1 + (block + 1) * perBlock),
    ]),
    // A logit of llama.cpp is in nats, ours in bits; in float32, so that the head's scale stays exact.
    constant('output_norm.weight', model.width, Math.LN2),
    head,
  ];
  return encodeGguf({ ...aboutModel(model), ...tokenizer(), ...aboutFile() }, tensors);

  function aboutFile(): Record<string, GgufValue> {
    return {
      'general.name': { string: model.name },
      'general.file_type': { uint32: FILE_TYPES[form] },
      'general.quantization_version': { uint32: QUANTIZATION_VERSION },
      'ternseed.producer': { string: producer },
      'ternseed.weights_hash': { string: weightsHash },
    };
  }
}

function aboutModel(model: Transformer): Record<string, GgufValue> {
  const { context, width, order, hidden, heads, keyHeads, headSize } = model;
  return {
    'general.architecture': { string: 'llama' },
    'llama.context_length': { uint32: context },
    'llama.embedding_length': { uint32: width },
    'llama.block_count': { uint32: order.length },
    'llama.feed_forward_length': { uint32: hidden },
    'llama.attention.head_count': { uint32: heads },
    'llama.attention.head_count_kv': { uint32: keyHeads },
    'llama.attention.layer_norm_rms_epsilon': { float32: EPSILON },
    'llama.rope.dimension_count': { uint32: headSize },
    'llama.rope.freq_base': { float32: 10_000 },
    'llama.vocab_size': { uint32: VOCABULARY },
  };
}

/** A byte-pair vocabulary without pairs: token i is byte i, as the letter that GPT-2 writes it by. */
function tokenizer(): Record<string, GgufValue> {
  return {
    'tokenizer.ggml.model': { string: 'gpt2' },
    'tokenizer.ggml.pre': { string: 'gpt-2' },
    'tokenizer.ggml.tokens': { strings: Array.from({ length: VOCABULARY }, (_, byte) => letterOf(byte)) },
    'tokenizer.ggml.token_type': { int32s: new Array(VOCABULARY).fill(1) },
    'tokenizer.ggml.merges': { strings: [] },
    'tokenizer.ggml.bos_token_id': { uint32: 0 },
    'tokenizer.ggml.eos_token_id': { uint32: 0 },
    'tokenizer.ggml.add_bos_token': { bool: false },
  };
}

/** GPT-2's letter of a byte: itself where it is printable, else one from U+0100 on, in order. */
function letterOf(byte: number): string {
  const printable = (one: number) => (one >= 33 && one <= 126) || (one >= 161 && one <= 255 && one !== 173);
  if (printable(byte)) return String.fromCharCode(byte);
  let before = 0;
  for (let one = 0; one < byte; one++) if (!printable(one)) before++;
  return String.fromCharCode(256 + before);
}
