/**
 * A perceptron of real weights from any safetensors file: which of its tensors are layers, which say nothing and are
 * left out with a word, and which have no place in the integer model and are refused by name. In what order and
 * which way round the matrices are taken is layer-order.ts's.
 */

import type { InputsHeader } from '../artifact/inputs.js';
import { InputError, printable } from '../errors.js';
import { LAYERS_MAX } from '../ternary/builders/perceptron.js';
import type { RealMatrix } from '../quantize/matrix.js';
import { networkOf } from '../ternary/builders/perceptron.js';
import { bfloat16, float16 } from './half-floats.js';
import {
  chooseReading,
  type Fits,
  type Layout,
  type Matrix,
  pickLayers,
  type Reading,
} from './layer-order.js';
import { type Dtype, type FileTensor, headerFault, placeOf, type SafetensorsFile } from './safetensors.js';

/** What a file of real matrices does not say of itself. */
export interface RealOptions {
  /** What the two sizes of a matrix are. */
  readonly layout?: Layout;
  /** The names of the layers, from the inputs on; other matrices are left out. */
  readonly layers?: readonly string[];
  /** Inputs and classes of the data that the model is for, which decide between readings. */
  readonly fits?: Fits;
}

/** A perceptron of real weights. */
export interface RealModel {
  readonly kind: 'real';
  readonly widths: readonly number[];
  /** From the inputs to the classes, [outputs, inputs], with the name that each has in the file. */
  readonly layers: readonly (RealMatrix & { readonly name: string })[];
  /** How the matrices were taken, and by what that was decided. */
  readonly reading: Reading;
  /** Of an export of ternseed: whether its normalization subtracts the mean. */
  readonly centred?: boolean;
  /** Of an export of ternseed: how raw values become inputs, as its header says. */
  readonly inputs?: InputsHeader;
  /** What was left out, for people. */
  readonly notes: readonly string[];
}

/** Matrices that are no dense layers, by names in use. A caller's `layers` overrules them. */
const NO_LAYERS: readonly (readonly [name: RegExp, what: string])[] = [
  [/embed|(?:^|[._/])w[tp]e(?:[._/]|$)/i, 'an embedding'],
  [/attn|attention|[qkvo]_proj/i, 'a part of attention'],
  [/recurrent_kernel|weight_[ih]h|(?:^|[._/])(?:lstm|gru|rnn)/i, 'a part of a recurrent layer'],
  [/lora_/i, 'an adapter'],
];
const OPTIMIZER =
  /(?:^|[._/])(?:optim(?:izer)?(?:_state)?|(?:max_)?exp_avg(?:_sq)?|momentum_buffer|square_avg)(?:[._/]|$)/i;
const BIAS = /(?:^|[._/])(?:b|beta|bias|biases)[0-9]*(?::0)?$|bias$/i;
const NORM = /norm|(?:^|[._/])bn[0-9]*[._/]|running_(?:mean|var)|gamma|moving_(?:mean|variance)/i;
/** What the weights are called whose bias ends in the same way. */
const WEIGHTS = ['weight', 'weights', 'kernel', 'w', 'W'];

/**
 * Reads the layers of a perceptron.
 * @param isKnown - names of tensors that are left out without a word
 * @throws {InputError} naming what the integer model has not, or which setting decides between readings
 * @throws {ConfigError} when `layers` names what is not there, or what does not chain
 */
export function readRealLayers(
  { metadata, tensors }: SafetensorsFile,
  options: RealOptions,
  isKnown: (name: string) => boolean,
): RealModel {
  const used = tensors.filter(({ name }) => !isKnown(name));
  const { matrices, outputs, leftOut } = sortOut(used, options.layers);
  const sized = matrices.map(({ name, shape }): Matrix => ({
    ...{ name, sizes: [shape[0], shape[1]] },
    ...(outputs.has(name) && { outputs: outputs.get(name) as number }),
  }));
  const reading = chooseReading(sized, {
    ...{ ordered: options.layers !== undefined, format: metadata.format },
    ...(options.layout !== undefined && { layout: options.layout }),
    ...(options.fits && { fits: options.fits }),
  });
  const transposed = reading.layout === 'inputs-outputs';
  const ordered = pickLayers(matrices, reading.layers).map((tensor) => {
    const [a, b] = tensor.shape;
    return { tensor, ...(transposed ? { rows: b, columns: a } : { rows: a, columns: b }) };
  });
  const widths = [ordered[0].columns, ...ordered.map(({ rows }) => rows)];
  try {
    networkOf(widths, { centred: false, gain: 127, logitScale: 1 });
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw headerFault(`got ${found(used)}: ${cause.message}`, cause);
  }
  const layers = ordered.map(({ tensor, rows, columns }) => {
    const weights = realsOf(tensor);
    if (weights.every((weight) => weight === 0)) {
      throw new InputError(
        `safetensors: ${placeOf(tensor)}: expected weights that are not all 0: an untrained file?`,
      );
    }
    return {
      name: tensor.name,
      rows,
      columns,
      weights: transposed ? turned(weights, rows, columns) : weights,
    };
  });
  return { kind: 'real', widths, layers, reading, notes: notesOf(leftOut) };
}

/** What becomes of each tensor. */
interface SortedOut {
  readonly matrices: readonly FileTensor[];
  /** By the name of a matrix: how many outputs its bias says that it has. */
  readonly outputs: ReadonlyMap<string, number>;
  /** Names by the reason why they are left out. */
  readonly leftOut: ReadonlyMap<string, readonly string[]>;
}

function sortOut(tensors: readonly FileTensor[], chosen: readonly string[] | undefined): SortedOut {
  const matrices: FileTensor[] = [];
  const biases: FileTensor[] = [];
  const leftOut = new Map<string, string[]>();
  const leave = ({ name }: FileTensor, why: string) => leftOut.set(why, [...(leftOut.get(why) ?? []), name]);
  for (const tensor of tensors) {
    const { name, shape, dtype, bytes } = tensor;
    const isMatrix = shape.length === 2 && bytes.length > 0;
    if (isMatrix && chosen?.includes(name)) matrices.push(tensor);
    else if (bytes.length === 0) leave(tensor, 'empty');
    else if (OPTIMIZER.test(name)) leave(tensor, 'state of an optimizer');
    else if (shape.length === 0 && /^[IU]|BOOL/.test(dtype)) leave(tensor, 'a counter');
    else if (BIAS.test(name) && shape.filter((size) => size > 1).length <= 1 && shape.length <= 2) {
      biases.push(tensor);
    } else if (isMatrix && chosen) leave(tensor, 'not among the layers that were named');
    else if (isMatrix && !NO_LAYERS.some(([pattern]) => pattern.test(name))) matrices.push(tensor);
    else throw refused(tensor, tensors);
  }
  const outputs = new Map<string, number>();
  for (const bias of biases) {
    if (!realsOf(bias).every((value) => value === 0)) throw refused(bias, tensors);
    leave(bias, 'biases of zeros');
    const names = WEIGHTS.map((word) =>
      bias.name.replace(/(?:biases|bias|beta|b)([0-9]*(?::0)?)$/i, (_, end: string) => word + end),
    );
    const matrix = matrices.find(({ name }) => names.includes(name));
    if (!matrix) continue;
    const length = bias.shape.reduce((product, size) => product * size, 1);
    if (!matrix.shape.includes(length)) {
      throw new InputError(
        `safetensors: ${placeOf(bias)}: expected as many biases as ${printable(matrix.name)} [${matrix.shape.join()}] ` +
          `has outputs, got ${length}`,
      );
    }
    outputs.set(matrix.name, length);
  }
  if (chosen) return { matrices: pickLayers(matrices, chosen), outputs, leftOut };
  if (matrices.length < 1 || matrices.length > LAYERS_MAX) {
    throw headerFault(
      `expected 1…${LAYERS_MAX} weight matrices, got ${matrices.length}: ${found(tensors) || 'no tensors at all'}`,
    );
  }
  return { matrices, outputs, leftOut };
}

/** What has no place in the integer model, by its name and shape, and what to do. */
function refused(tensor: FileTensor, all: readonly FileTensor[]): InputError {
  const { name, shape } = tensor;
  const what = BIAS.test(name)
    ? 'a bias that is not 0, which the model has not: train without biases'
    : NORM.test(name)
      ? 'a part of a normalization, which the model has not: train without it'
      : shape.length === 2
        ? `${NO_LAYERS.find(([pattern]) => pattern.test(name))?.[1]}, by its name: "layers" takes it as a layer if it is one`
        : shape.length > 2
          ? `a tensor of ${shape.length} dimensions, as convolutions have: train layers that are dense`
          : `${shape.length === 1 ? 'a vector' : 'a single number'}: leave it out of the file if it is not needed`;
  return new InputError(
    `safetensors: ${placeOf(tensor)}: expected weight matrices alone, got ${what}; the file holds ${found(all)}`,
  );
}

/** Names that a message shows. */
const SHOWN = 12;

function found(tensors: readonly FileTensor[]): string {
  const shown = tensors
    .slice(0, SHOWN)
    .map(({ name, dtype, shape }) => `${printable(name)} ${dtype} [${shape.join()}]`);
  const more = tensors.length - shown.length;
  return more > 0 ? `${shown.join(', ')} and ${more} more` : shown.join(', ');
}

function notesOf(leftOut: SortedOut['leftOut']): string[] {
  return [...leftOut].map(([why, names]) => {
    const shown = names.slice(0, SHOWN).map(printable).join(', ');
    return `left out, ${why}: ${shown}${names.length > SHOWN ? ` and ${names.length - SHOWN} more` : ''}`;
  });
}

/** [columns, rows] as [rows, columns]. */
function turned(weights: Float64Array, rows: number, columns: number): Float64Array {
  return Float64Array.from(weights, (_, i) => weights[(i % columns) * rows + Math.floor(i / columns)]);
}

/** Matrices of F64 are scaled if their largest number is beyond 2^±this: float32 ends at 2^128. */
const FREE_EXPONENT = 64;

/**
 * Numbers of a tensor, as float32 has them; those of F64 that float32 has not times a power of two, in which the
 * layers of a perceptron are free.
 * @throws {InputError} when they are of another type, or not finite
 */
export function realsOf(tensor: FileTensor): Float64Array {
  const { bytes, dtype } = tensor;
  const reals = readNumbers(dtype, new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (!reals) {
    throw new InputError(
      `safetensors: ${placeOf(tensor)}: expected weights in F32, F64, F16, BF16 or I8, got ${dtype}: ` +
        'save them in one of these',
    );
  }
  const stray = reals.findIndex((real) => !Number.isFinite(real));
  if (stray >= 0) {
    throw new InputError(
      `safetensors: ${placeOf(tensor)}: expected finite numbers, got ${reals[stray]} as value ${stray}`,
    );
  }
  if (dtype !== 'F64') return reals;
  const largest = reals.reduce((most, real) => Math.max(most, Math.abs(real)), 0);
  const exponent = largest === 0 ? 0 : Math.floor(Math.log2(largest));
  const shift = Math.abs(exponent) <= FREE_EXPONENT ? 0 : -exponent;
  // In two steps, each a number that there is: 2^1074 is none.
  const [half, rest] = [2 ** Math.trunc(shift / 2), 2 ** (shift - Math.trunc(shift / 2))];
  return reals.map((real) => Math.fround(real * half * rest));
}

function readNumbers(dtype: Dtype, view: DataView): Float64Array | null {
  const each = (size: number, read: (at: number) => number) => {
    const reals = new Float64Array(view.byteLength / size);
    for (let i = 0; i < reals.length; i++) reals[i] = read(i * size);
    return reals;
  };
  switch (dtype) {
    case 'F64':
      return each(8, (i) => view.getFloat64(i, true));
    case 'F32':
      return each(4, (i) => view.getFloat32(i, true));
    case 'F16':
      return each(2, (i) => float16(view.getUint16(i, true)));
    case 'BF16':
      return each(2, (i) => bfloat16(view.getUint16(i, true)));
    case 'I8':
      return each(1, (i) => view.getInt8(i));
    default:
      return null;
  }
}
