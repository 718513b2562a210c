/**
 * The integer network: what it is made of, and the bounds that make its arithmetic exact.
 * A layer is linear → normalize → ReLU; the last is linear alone and gives the logits.
 * Weights are trits, activations u7 (0…127), sums i32. Every bound is asserted here, once,
 * from the shapes, so that no kernel has to check for overflow.
 */

/** The largest activation: u7. */
export const ACTIVATION_MAX = 127;

/** One weight matrix, [rows, columns] = [outputs, inputs], row-major in the model's flat order. */
export interface Tensor {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  /** Index of its first weight among all weights of the model. */
  readonly offset: number;
}

/** What the arithmetic needs beside the widths. All are stored in the artifact. */
export interface NetworkOptions {
  /** Whether `normalize` subtracts the mean. */
  readonly centred: boolean;
  /** The activation that a pre-activation of one mean absolute value gets, 1…127. */
  readonly gain: number;
  /** Binary exponent of the softmax per unit of a logit, in 2⁻¹⁶: p ∝ 2^(logit · logitScale / 65536). */
  readonly logitScale: number;
}

/** A multilayer perceptron of the integer network. */
export interface Network extends NetworkOptions {
  /** Inputs, hidden widths, classes. */
  readonly widths: readonly number[];
  readonly tensors: readonly Tensor[];
  /** Weights of all tensors together. */
  readonly parameters: number;
}

/** No tensor may have more weights: sums of a row's absolute values stay below 2^31 (see `networkOf`). */
export const TENSOR_WEIGHTS_MAX = 1 << 22;
/** No model may have more weights: a reader makes room for them before it has read them. */
export const PARAMETERS_MAX = 1 << 26;
/** 254·N ≤ gain · 2^22 keeps the reciprocal of `normalize` above zero. */
const RECIPROCAL_ONE = 2 ** 22;
/** No layer may be wider: its index in a direction's entry takes 16 bits. */
export const WIDTH_MAX = 65_535;
/** Labels are bytes. */
export const CLASSES_MAX = 256;
/** |logit · logitScale| stays below this, so that differences of losses fit i32. */
export const EXPONENT_MAX = 2 ** 28;

/**
 * Builds a network description and proves its bounds.
 *
 * With z a pre-activation of a layer of N inputs and M outputs: |z| ≤ 127·N; with a probe of
 * at most one mean absolute value added, |z| ≤ 254·N; centred, |z − mean| ≤ 508·N; the sum of
 * M of them ≤ 508·N·M < 2^31 for N·M ≤ 2^22.
 *
 * @param widths - at least two: inputs, hidden…, classes
 * @throws {RangeError} naming the bound that does not hold
 * @example networkOf([784, 512, 10], { centred: true, gain: 40, logitScale: 300 }).parameters // 406528
 */
export function networkOf(widths: readonly number[], options: NetworkOptions): Network {
  const { centred, gain, logitScale } = options;
  if (widths.length < 2)
    throw new RangeError(`"model" expected at least inputs and classes, got ${widths.join('-')}`);
  for (const width of widths) requireInteger('model', 'layer widths', width, 1, WIDTH_MAX);
  requireInteger('gain', 'an integer', gain, 1, ACTIVATION_MAX);
  const inputsOfLast = widths[widths.length - 2];
  requireInteger('model', 'a number of classes', widths[widths.length - 1], 2, CLASSES_MAX);
  const scaleMax = Math.floor(EXPONENT_MAX / (2 * ACTIVATION_MAX * inputsOfLast));
  requireInteger('logitScale', 'an integer', logitScale, 1, scaleMax);

  const tensors: Tensor[] = [];
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
    tensors.push({ name: `layer${layer}.weight`, rows, columns, offset });
    offset += rows * columns;
  }
  if (offset > PARAMETERS_MAX) {
    throw new RangeError(`"model" expected at most ${PARAMETERS_MAX} weights, got ${offset}`);
  }
  return { widths: [...widths], tensors, parameters: offset, centred, gain, logitScale };
}

/**
 * Reads a model such as `784-256-256-10`.
 * @throws {RangeError} when it is not a list of positive integers joined by `-`
 */
export function parseWidths(model: string): number[] {
  if (!/^[1-9][0-9]{0,5}(-[1-9][0-9]{0,5})+$/.test(model)) {
    throw new RangeError(`"model" expected layer widths such as 784-256-10, got "${model}"`);
  }
  return model.split('-').map(Number);
}

function requireInteger(name: string, what: string, value: number, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new RangeError(`"${name}" expected ${what} in ${minimum}…${maximum}, got ${value}`);
  }
}
