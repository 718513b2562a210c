/**
 * A transformer for llama.cpp and whatever else reads GGUF: architecture `llama`, trits as TQ2_0 or TQ1_0, embedding
 * and head as Q8_0, a vocabulary of the 256 bytes. What is exported is the real-valued model that the integers stand
 * for; blocks that are applied several times are written as often.
 */

import { ArtifactError } from '../errors.js';
import type { Artifact } from '../artifact/artifact.js';
import { modelName } from '../artifact/header.js';
import {
  type BlockMatrix,
  EMBEDDING_SHIFT,
  FINER_BITS,
  GATE_BITS,
  HEAD_BITS,
  HIDDEN_BITS,
  LOGIT_BITS,
  MIX_BITS,
  NORM_BITS,
  RESIDUAL_BITS,
  type ScaledMatrix,
  type Transformer,
  VOCABULARY,
} from '../ternary/transformer.js';
import { BYTE_BLOCK, constant, encodeGguf, type GgufTensor, type GgufValue, quantized } from './gguf.js';

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

/** Our normalization divides by the root itself; llama.cpp adds this to its square. */
const EPSILON = 1e-12;

/**
 * Writes a transformer as GGUF.
 * @param artifact - an opened artifact of a transformer
 * @param values - what it rebuilds to
 * @throws {ArtifactError} when it is a perceptron's
 * @throws {ConfigError} when rows are not multiples of 256, which trits need: "f16" takes any
 * @example exportGguf(artifact, await rebuildVerified(artifact, backend), { form: 'tq2_0', producer: 'me 1.0' })
 */
export function exportGguf(
  artifact: Pick<Artifact, 'header' | 'network' | 'weightsHash'>,
  values: Int8Array,
  { form, producer }: GgufOptions,
): Uint8Array {
  const { network: model, header, weightsHash } = artifact;
  if (model.architecture !== 'transformer') {
    throw new ArtifactError(
      `header at byte 5: expected a transformer, got the perceptron ${modelName(header)}`,
    );
  }
  const scaleOf = ({ scale }: ScaledMatrix, from: number, to: number): number => {
    const at = model.scales.offset + 2 * scale;
    return (values[at] / 2 ** values[at + 1]) * 2 ** (from - to);
  };
  const matrix = (name: string, one: ScaledMatrix, scale: number): GgufTensor => {
    const { rows, columns, offset, values: kind } = one.weights;
    const integers = values.subarray(offset, offset + rows * columns);
    const wide = columns % BYTE_BLOCK === 0 && form !== 'f16' ? 'q8_0' : 'f16';
    return quantized(
      { name: `${name}.weight`, rows, columns },
      kind === 'trit' ? form : wide,
      integers,
      scale,
    );
  };
  const embedding = scaleOf(model.embed, EMBEDDING_SHIFT, RESIDUAL_BITS);
  // A logit of llama.cpp is in nats.
  const head = scaleOf(model.head, NORM_BITS - model.headShift, LOGIT_BITS) * Math.LN2;
  const tensors = [
    matrix('token_embd', model.embed, embedding),
    ...model.order.flatMap((layer, block) => [
      constant(`blk.${block}.attn_norm.weight`, model.width, 1),
      constant(`blk.${block}.ffn_norm.weight`, model.width, 1),
      ...Object.entries(BLOCK).map(([key, [name, from, to]]) => {
        const one = model.layers[layer][key as BlockMatrix];
        return matrix(`blk.${block}.${name}`, one, scaleOf(one, from, to));
      }),
    ]),
    constant('output_norm.weight', model.width, 1),
    matrix('output', model.head, head),
  ];
  return encodeGguf({ ...aboutModel(model), ...tokenizer(), ...aboutFile() }, tensors);

  function aboutFile(): Record<string, GgufValue> {
    return {
      'general.name': { string: modelName(header) },
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
