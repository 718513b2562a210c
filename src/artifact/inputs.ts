/**
 * How raw values become the inputs of a model, and what its classes are called: decided on the training data,
 * kept in the header, and applied to everything that the model is shown afterwards. What goes without saying (bytes
 * of 0…255, not inverted, classes called 0, 1, 2, …) is not kept.
 */

import { ACTIVATION_MAX } from '../ternary/units.js';

/** Numbers as files and canvases have them. */
export type RawValues =
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | Float32Array
  | Float64Array
  | readonly number[];

/** The shape of an image whose values lie row by row. */
export interface ImageShape {
  readonly rows: number;
  readonly columns: number;
  readonly channels: number;
  /** Whether each channel is a plane of its own, [channels, rows, columns], and not [rows, columns, channels]. */
  readonly planar: boolean;
}

/** What a model takes and what it tells apart. */
export interface Inputs {
  /** The value that is input 0. */
  readonly low: number;
  /** The value from which on the input is 127. */
  readonly high: number;
  /** Whether inputs are counted down from 127, as of dark ink on white paper. */
  readonly inverted: boolean;
  /** Where the header says it. */
  readonly image: ImageShape | null;
  /** The labels of the classes, ascending; null: 0, 1, 2, … */
  readonly labels: readonly number[] | null;
}

/** The same in a header, as far as it does not go without saying. */
export interface InputsHeader {
  readonly low?: number;
  readonly high?: number;
  readonly inverted?: true;
  /** Rows, columns, channels. */
  readonly image?: readonly [rows: number, columns: number, channels: number];
  readonly planar?: true;
  readonly labels?: readonly number[];
}

/** Bytes as they are. */
export const PLAIN_INPUTS: Inputs = { low: 0, high: 255, inverted: false, image: null, labels: null };

/** A model may not tell more classes apart. */
export const LABELS_MAX = 256;

/**
 * The inputs of a model from raw values, such as pixels: u7 = ⌊(x − low) / (high − low) · 128⌋ within 0…127, and
 * 127 − u7 where they are inverted. Of bytes, low 0 and high 255, it is half of each, rounded down. In f64, whose
 * − and ÷ are the same everywhere; the product by a power of two is exact.
 * @param values - finite numbers, as many as the model has inputs, or those of several examples one after another
 * @param inputs - what `inputsOf` gives for the artifact's header
 * @returns 0…127 each, what `load` takes
 * @example placed.load({ inputs: scaleInputs(pixels, inputsOf(artifact.header)), labels: new Uint8Array(1), length: 1 });
 */
export function scaleInputs(
  values: RawValues,
  { low, high, inverted }: Pick<Inputs, 'low' | 'high' | 'inverted'>,
): Uint8Array {
  const flip = inverted ? ACTIVATION_MAX : 0; // 127 − u = 127 ^ u
  if (values instanceof Uint8Array) {
    const table = Uint8Array.from({ length: 256 }, (_, value) => scaled(value, low, high) ^ flip);
    const bytes = new Uint8Array(values.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = table[values[i]];
    return bytes;
  }
  const result = new Uint8Array(values.length);
  for (let i = 0; i < result.length; i++) result[i] = scaled(values[i], low, high) ^ flip;
  return result;
}

function scaled(value: number, low: number, high: number): number {
  const unit = Math.floor(((value - low) / (high - low)) * (ACTIVATION_MAX + 1));
  return Math.max(0, Math.min(ACTIVATION_MAX, unit));
}

/**
 * What a model takes, from its header.
 * @example const { labels } = inputsOf(artifact.header); // labels?.[prediction] ?? prediction
 */
export function inputsOf({ inputs = {} }: { readonly inputs?: InputsHeader }): Inputs {
  const { low = 0, high = 255, inverted = false, image, planar = false, labels = null } = inputs;
  const [rows, columns, channels] = image ?? [];
  const shape = rows && columns && channels ? { rows, columns, channels, planar } : null;
  return { low, high, inverted, image: shape, labels };
}

/** What a header says of its inputs; nothing where all goes without saying. */
export function headerOfInputs({ low, high, inverted, image, labels }: Inputs): InputsHeader | undefined {
  const said: InputsHeader = {
    ...(low !== 0 && { low }),
    ...(high !== 255 && { high }),
    ...(inverted && { inverted }),
    ...(image && { image: [image.rows, image.columns, image.channels] as const }),
    ...(image?.planar && { planar: true as const }),
    ...(labels && !areIndices(labels) && { labels }),
  };
  return Object.keys(said).length > 0 ? said : undefined;
}

/** Whether labels are 0, 1, 2, … */
export function areIndices(labels: readonly number[]): boolean {
  return labels.every((label, index) => label === index);
}

type Rules = Record<keyof InputsHeader, (value: never) => boolean>;

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) > 0;

const RULES: Rules = {
  low: (value: unknown) => Number.isFinite(value) && value !== 0,
  high: (value: unknown) => Number.isFinite(value) && value !== 255,
  inverted: (value: unknown) => value === true,
  image: (value: unknown) => Array.isArray(value) && value.length === 3 && value.every(isCount),
  planar: (value: unknown) => value === true,
  labels: (value: unknown) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= LABELS_MAX &&
    value.every((label, i) => Number.isSafeInteger(label) && (i === 0 || value[i - 1] < label)) &&
    !areIndices(value),
};

/**
 * Whether a header may say this of its inputs.
 * @param value - what stands in the header, of any kind
 * @param width - values of an example
 */
export function isInputsHeader(value: unknown, width: number, classes: number): value is InputsHeader {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  const known = entries.every(
    ([key, one]) => Object.hasOwn(RULES, key) && RULES[key as keyof InputsHeader](one as never),
  );
  if (!known || entries.length === 0) return false;
  const { low, high, image, labels } = inputsOf({ inputs: value as InputsHeader });
  return (
    Number.isFinite(high - low) &&
    low < high &&
    (image ? image.rows * image.columns * image.channels === width : !Object.hasOwn(value, 'planar')) &&
    (labels?.length ?? 0) <= classes
  );
}
