/**
 * A network as safetensors, for tools that know nothing of artifacts: packed, or as float32. Both carry
 * the whole network in their metadata and come back by import-safetensors.ts with the same weightsHash.
 * docs/exchange.md is the specification.
 */

import type { Artifact } from '../artifact/artifact.js';
import { perceptronArtifact } from '../artifact/perceptron.js';
import { ARITHMETIC } from '../ternary/arithmetic.js';
import type { Tensor } from '../ternary/model.js';
import { SCALE_BITS, type Values } from '../ternary/precision.js';
import { packTrits } from '../ternary/trits.js';
import { encodeSafetensors, type SafeTensor } from './safetensors.js';

/** `u8`: weights packed in bytes; `f32`: weights as numbers. */
export const SAFETENSORS_FORMS = ['u8', 'f32'] as const;
export type SafetensorsForm = (typeof SAFETENSORS_FORMS)[number];

export interface SafetensorsOptions {
  readonly form: SafetensorsForm;
  /** Who writes: a name and a version. */
  readonly producer: string;
}

/** How each kind of value is packed, told in the file itself. */
const UNPACK: Record<Values, string> = {
  trit: 'U8, five trits a byte: byte = sum over k of (trit_k + 1) * 3^k, first trit least significant, fill of the last byte 0',
  int4: "U8, two values a byte in two's complement, the first in the low four bits, fill of the last byte 0",
  int8: 'I8, a value each',
  scale: 'U8, a value each',
};

const MEANING =
  'layerL.weight is [outputs, inputs], row-major; its real value is integer * 2^-shift * scale / 128, ' +
  'shift 0 for ternary, 3 for int4, 7 for int8, scale layerL.scale of the row or 128 where there is none';

/**
 * Refuses what has no such form, before anything is rebuilt.
 * @throws {ArtifactError} when it is no perceptron
 */
export function requireSafetensors(artifact: Pick<Artifact, 'header' | 'network'>): void {
  perceptronArtifact(artifact);
}

/**
 * Writes a perceptron as safetensors.
 * @param artifact - an opened artifact; its header becomes metadata
 * @param weights - what it rebuilds to, the values of all tensors in model order
 * @throws {ArtifactError} when it is no perceptron, whose layers alone have such a form
 * @example exportSafetensors(artifact, await rebuildVerified(artifact, backend), { form: 'f32', producer: 'me 1.0' })
 */
export function exportSafetensors(
  artifact: Pick<Artifact, 'header' | 'network' | 'steps' | 'weightsHash'>,
  weights: Int8Array,
  { form, producer }: SafetensorsOptions,
): Uint8Array {
  const { header, network, steps, weightsHash } = perceptronArtifact(artifact);
  const { model, centred, gain, logitScale, key, cut, config, data, inputs } = header;
  const valuesOf = ({ offset, rows, columns }: Tensor) => weights.subarray(offset, offset + rows * columns);
  const kinds = [...new Set(network.tensors.map(({ values }) => values))];
  const unpack = kinds.map((values) => `${values}: ${UNPACK[values]}`).join('; ');
  const metadata = {
    ...{ producer, form: `ternseed-${form}`, format: 'pt', meaning: MEANING },
    ...(form === 'u8' && { unpack }),
    ...{ model, centred: String(centred), gain: String(gain), logitScale: String(logitScale) },
    ...{ precision: network.precision.join(), steps: String(steps), weightsHash, key, cut: String(cut) },
    ...{ config: JSON.stringify(config), dataName: data.name, dataHash: data.hash },
    ...(ARITHMETIC !== 1 && { arithmetic: String(ARITHMETIC) }), // as in an artifact's header
    ...(inputs && { inputs: JSON.stringify(inputs) }),
  };
  const tensors = network.layers.flatMap(({ weights: matrix, scale, shift }): SafeTensor[] => {
    const scales = scale && valuesOf(scale);
    const packed = scale && {
      name: scale.name,
      dtype: 'U8' as const,
      shape: [scale.rows],
      bytes: bytesOf(scales!),
    };
    const one =
      form === 'u8'
        ? packedTensor(matrix, valuesOf(matrix))
        : floatTensor(matrix, valuesOf(matrix), shift, scales);
    return packed ? [one, packed] : [one];
  });
  // Wider elements first: see encodeSafetensors.
  return encodeSafetensors(metadata, [
    ...tensors.filter(({ dtype }) => dtype === 'F32'),
    ...tensors.filter(({ dtype }) => dtype !== 'F32'),
  ]);
}

function packedTensor({ name, values, rows, columns }: Tensor, weights: Int8Array): SafeTensor {
  switch (values) {
    case 'trit': {
      const bytes = packTrits(weights);
      return { name, dtype: 'U8', shape: [bytes.length], bytes };
    }
    case 'int4': {
      const bytes = packNibbles(weights);
      return { name, dtype: 'U8', shape: [bytes.length], bytes };
    }
    case 'int8':
      return { name, dtype: 'I8', shape: [rows, columns], bytes: bytesOf(weights) };
    case 'scale':
      throw new TypeError(`${name} is no matrix`);
    default:
      return values satisfies never;
  }
}

/** Real weights in float32: exact, they have at most 14 significant bits. */
function floatTensor(
  { name, rows, columns }: Tensor,
  weights: Int8Array,
  shift: number,
  scales: Int8Array | null,
): SafeTensor {
  const bytes = new Uint8Array(4 * weights.length);
  const view = new DataView(bytes.buffer);
  weights.forEach((weight, i) => {
    const scale = scales ? scales[Math.floor(i / columns)] : 1 << SCALE_BITS;
    view.setFloat32(4 * i, realWeight(weight, shift, scale), true);
  });
  return { name, dtype: 'F32', shape: [rows, columns], bytes };
}

/** The number that an integer weight stands for. */
export function realWeight(weight: number, shift: number, scale: number): number {
  return (weight * scale) / 2 ** (shift + SCALE_BITS);
}

/** Two values of −8…7 a byte, the first in the low bits. */
export function packNibbles(values: Int8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(values.length / 2));
  values.forEach((value, i) => {
    packed[i >> 1] |= (value & 15) << (4 * (i & 1));
  });
  return packed;
}

function bytesOf(values: Int8Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.length);
}
