/**
 * The integer network: what it is made of, and the bounds that make its arithmetic exact.
 * A layer is linear → normalize → ReLU; the last is linear alone and gives the logits.
 * Weights are trits, or integers of four or eight bits (precision.ts); activations are u7
 * (0…127), sums i32. Every bound is asserted here, once, from the shapes, so that no kernel has
 * to check for overflow.
 */

import { printable } from '../../errors.js';
import { type Graph, GraphBuilder } from '../graph.js';
import { type Model, PARAMETERS_MAX, type Tensor, TENSOR_WEIGHTS_MAX } from '../model.js';
import { isPrecision, type LayerPrecision, PRECISIONS, VALUE_RANGES } from '../precision.js';
import { ACTIVATION_MAX, CLASSES_MAX, EXPONENT_MAX, WIDTH_MAX } from '../units.js';

/** One layer: its weight matrix and how its sums become pre-activations (see `finishSum`). */
export interface Layer {
  readonly weights: Tensor;
  readonly precision: LayerPrecision;
  /** The largest magnitude of a weight. */
  readonly largest: number;
  /** Fraction bits of the weights. */
  readonly shift: number;
  /** Scales of the rows, if it has them. */
  readonly scale: Tensor | null;
}

/** What the arithmetic needs beside the widths. All are stored in the artifact. */
export interface NetworkOptions {
  /** Whether `normalize` subtracts the mean. */
  readonly centred: boolean;
  /** The activation that a pre-activation of one mean absolute value gets, 1…127. */
  readonly gain: number;
  /** Binary exponent of the softmax per unit of a logit, in 2⁻¹⁶: p ∝ 2^(logit · logitScale / 65536). */
  readonly logitScale: number;
  /** One a layer; all ternary if left out. */
  readonly precision?: readonly LayerPrecision[];
}

/** The keys of a header that describe a perceptron. */
export interface LayersDescription extends NetworkOptions {
  /** Layer widths, `784-512-10`. */
  readonly model: string;
}

/** What each of them must be by itself. */
export const LAYERS_RULES = {
  model: ['layer widths', (value: unknown) => typeof value === 'string' && value.length <= 512],
  centred: ['true or false', (value: unknown) => typeof value === 'boolean'],
  gain: ['an integer', Number.isInteger],
  logitScale: ['an integer', Number.isInteger],
  precision: [
    `${Object.keys(PRECISIONS).join(', ')} for each layer`,
    (value: unknown) => value === undefined || (Array.isArray(value) && value.every(isPrecision)),
  ],
} as const;

/** A model may not have more layers of weights. */
export const LAYERS_MAX = 64;

/**
 * The perceptron that a header describes.
 * @throws {RangeError} when a bound of the arithmetic is not met
 */
export function perceptronOf(description: LayersDescription): Network {
  const widths = parseWidths(description.model);
  if (widths.length > LAYERS_MAX + 1) throw new RangeError(`"model" expected at most ${LAYERS_MAX} layers`);
  return networkOf(widths, description);
}

/** A multilayer perceptron of the integer network. */
export interface Network extends NetworkOptions, Graph {
  /** Inputs, hidden widths, classes. */
  readonly widths: readonly number[];
  readonly precision: readonly LayerPrecision[];
  /** Model order: the weight matrices of all layers, then the scales of those that have them. */
  readonly tensors: readonly Tensor[];
  readonly layers: readonly Layer[];
}

/** 254·N ≤ gain · 2^22 keeps the reciprocal of `normalize` above zero. */
const RECIPROCAL_ONE = 2 ** 22;
/**
 * Builds a network description and proves its bounds.
 *
 * With z a pre-activation of a layer of N inputs and M outputs: |z| ≤ 127·N; with a probe of
 * at most one mean absolute value added, |z| ≤ 254·N; centred, |z − mean| ≤ 508·N; the sum of
 * M of them ≤ 508·N·M < 2^31 for N·M ≤ 2^22. That |z| ≤ 127·N holds at every precision:
 * the sum of eight-bit products, ≤ 127·127·N < 2^31 for N ≤ WIDTH_MAX, is rounded by seven
 * bits, and so is z · scale, which has the same bound.
 *
 * @param widths - at least two: inputs, hidden…, classes
 * @throws {RangeError} naming the bound that does not hold
 * @example networkOf([784, 512, 10], { centred: true, gain: 40, logitScale: 300 }).parameters // 406528
 */
export function networkOf(widths: readonly number[], options: NetworkOptions): Network {
  const { centred, gain, logitScale } = options;
  const precision = precisionOf(options, widths.length - 1);
  if (widths.length < 2)
    throw new RangeError(`"model" expected at least inputs and classes, got ${widths.join('-')}`);
  for (const width of widths) requireInteger('model', 'layer widths', width, 1, WIDTH_MAX);
  requireInteger('gain', 'an integer', gain, 1, ACTIVATION_MAX);
  const inputsOfLast = widths[widths.length - 2];
  requireInteger('model', 'a number of classes', widths[widths.length - 1], 2, CLASSES_MAX);
  const scaleMax = Math.floor(EXPONENT_MAX / (2 * ACTIVATION_MAX * inputsOfLast));
  requireInteger('logitScale', 'an integer', logitScale, 1, scaleMax);

  const matrices: Tensor[] = [];
  let offset = 0;
  for (let layer = 0; layer + 1 < widths.length; layer++) {
    const columns = widths[layer];
    const rows = widths[layer + 1];
    if (254 * columns > gain * RECIPROCAL_ONE) {
      throw new RangeError(
        `"gain" expected at least ${Math.ceil((254 * columns) / RECIPROCAL_ONE)} for ${columns} inputs, got ${gain}`,
      );
    }
    if (rows * columns > TENSOR_WEIGHTS_MAX) {
      throw new RangeError(
        `"model" expected at most ${TENSOR_WEIGHTS_MAX} weights in a layer, got ${columns}-${rows}`,
      );
    }
    const { values } = PRECISIONS[precision[layer]];
    matrices.push({ name: `layer${layer}.weight`, values, rows, columns, offset });
    offset += rows * columns;
  }
  const layers = matrices.map((weights, index): Layer => {
    const { values, shift, rowScales } = PRECISIONS[precision[index]];
    const [, largest] = VALUE_RANGES[values];
    const layer = { weights, precision: precision[index], largest, shift };
    if (!rowScales) return { ...layer, scale: null };
    const { rows } = weights;
    const scale: Tensor = { name: `layer${index}.scale`, values: 'scale', rows, columns: 1, offset };
    offset += rows;
    return { ...layer, scale };
  });
  if (offset > PARAMETERS_MAX) {
    throw new RangeError(`"model" expected at most ${PARAMETERS_MAX} weights, got ${offset}`);
  }
  const ternary = isTernary({ precision });
  const tensors = [...matrices, ...layers.flatMap(({ scale }) => scale ?? [])];
  return {
    ...{ widths: [...widths], precision, centred, gain, logitScale },
    ...{ tensors, layers, parameters: offset },
    name: widths.join('-'),
    // All ternary goes without saying.
    description: { model: widths.join('-'), centred, gain, logitScale, ...(!ternary && { precision }) },
    initial: ternary
      ? matrices.map(() => 'drawn')
      : `it has layers of other precisions than ternary: ${precision.join(', ')}`,
    ...programOf(layers, tensors, options),
  };
}

/** linear → normalize of each layer but the last, whose sums are the logits. Site of a layer: its index. */
function programOf(
  layers: readonly Layer[],
  tensors: readonly Tensor[],
  { centred, gain, logitScale }: NetworkOptions,
): Omit<Graph, keyof Model | 'name' | 'description' | 'initial'> {
  const program = new GraphBuilder({ kind: 'u7', width: layers[0].weights.columns });
  let x = program.input;
  for (const [index, { weights, scale, shift }] of layers.entries()) {
    const own = scale ? [index, tensors.indexOf(scale)] : [index];
    const width = weights.rows;
    if (index === layers.length - 1) {
      [x] = program.add('linear', [x], [{ kind: 'i32', width }], { shift }, { tensors: own, probe: 'exact' });
      break;
    }
    const active = program.next + 1; // what normalize will write
    const size = centred ? 'centred magnitude' : 'magnitude';
    const probe = { site: index, active, size, horizon: false } as const;
    const [z] = program.add('linear', [x], [{ kind: 'i32', width }], { shift }, { tensors: own, probe });
    [x] = program.add('normalize', [z], [{ kind: 'u7', width }], { centred, gain });
  }
  program.end(x, logitScale);
  const fanIns = tensors.map(({ columns }) => columns);
  return { ...program.parts, rows: 'examples', context: 1, scaling: null, fanIns, applications: 1 };
}

/** Whether all weights are trits without scales: what seeds and directions are for. */
export function isTernary({ precision }: Pick<Network, 'precision'>): boolean {
  return precision.every((one) => one === 'ternary');
}

/**
 * Reads a model such as `784-256-256-10`.
 * @throws {RangeError} when it is not a list of positive integers joined by `-`
 */
export function parseWidths(model: string): number[] {
  if (!/^[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})+$/.test(model)) {
    throw new RangeError(`"model" expected layer widths such as 784-256-10, got "${printable(model)}"`);
  }
  return model.split('-').map(Number);
}

/** The precision of each layer, checked. */
function precisionOf({ precision }: NetworkOptions, layers: number): readonly LayerPrecision[] {
  if (precision === undefined) return Array.from({ length: layers }, () => 'ternary' as const);
  if (precision.length !== layers) {
    throw new RangeError(`"precision" expected ${layers} entries, one a layer, got ${precision.length}`);
  }
  if (!precision.every(isPrecision)) {
    throw new RangeError(`"precision" expected entries of ${Object.keys(PRECISIONS).join(', ')}`);
  }
  return [...precision];
}

function requireInteger(name: string, what: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new RangeError(
      `"${name}" expected ${what} in ${minimum}…${maximum}, got ${printable(String(value))}`,
    );
  }
}
