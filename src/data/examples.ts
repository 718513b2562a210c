/**
 * Labelled examples as the integer network reads them, from arrays of any numbers: how values are scaled is decided
 * on the training part and applied to both; whatever could teach nothing is refused with the reason.
 */

import {
  areIndices,
  type ImageShape,
  type Inputs,
  LABELS_MAX,
  PLAIN_INPUTS,
  scaleInputs,
} from '../artifact/inputs.js';
import { InputError, printable } from '../errors.js';
import type { IdxArray, IdxValues } from './idx.js';

/** An array and the name that errors call it by. */
export interface NamedArray extends IdxArray {
  readonly name: string;
}

/** One part of a data set as its files have it: examples [count, …] and labels [count] or [count, 1]. */
export interface RawPart {
  readonly images: NamedArray;
  readonly labels: NamedArray;
}

/** Labelled examples as the integer network reads them. */
export interface Examples {
  /** u7, [count, width]. */
  inputs: Uint8Array;
  /** [count], each below `classes`. */
  labels: Uint8Array;
  /** How many examples, at least 1. */
  count: number;
  /** Inputs of one example, at least 1. */
  width: number;
  /** Where rows, columns and channels are, of images; null of a table. */
  image: ImageShape | null;
  /** 2…256, the same for training and test. */
  classes: number;
  /** The labels of the classes, ascending. */
  names: readonly number[];
}

/** A training part and a test part that are read alike. */
export interface ExampleSets {
  train: Examples;
  test: Examples;
  /** How both were read, to be kept with what is trained on them. */
  inputs: Inputs;
  /** What is worth saying of the data, in sentences. */
  notes: string[];
}

export interface ReadingOptions {
  /** How the model reads inputs; without it, that is decided on the training part. */
  readonly inputs?: Inputs;
  /** How many inputs the model has, if there is one. */
  readonly width?: number;
  /** What the examples are, where their files say it not, or otherwise. */
  readonly image?: ImageShape;
  /** Whether zero stays zero and nothing is inverted, as for a model that was trained elsewhere. */
  readonly fromZero?: boolean;
}

/** Bytes that span at least half of their range have all of it. */
const BYTE_SPAN = 128;
/** The middle of 0…127. */
const MIDDLE = 63.5;

/**
 * Reads both parts of a data set.
 * @throws {InputError} when the parts do not fit each other or the model's inputs, have labels that training has
 * not, or hold no information
 */
export function readExamples(train: RawPart, test: RawPart, options: ReadingOptions = {}): ExampleSets {
  const image = imageOf(train.images, options);
  requireAlike(train.images, test.images);
  requireWidth(train.images, options.width);
  const labels = { train: readLabels(train), test: readLabels(test) };
  const names = options.inputs
    ? (options.inputs.labels ?? upTo(Math.max(largest(labels.train), largest(labels.test))))
    : trainedNames(labels.train, train.labels.name);
  const range = options.inputs ?? rangeOf(train.images, options.fromZero ?? false);
  const notes: string[] = [];
  const part = (raw: RawPart, found: IdxValues): Examples => ({
    ...{
      inputs: scaleInputs(raw.images.data, range),
      labels: classesOf(found, names, raw.labels.name, options.inputs ? 'the model' : 'training'),
    },
    ...{ count: raw.images.shape[0], width: widthOf(raw.images), image, classes: names.length, names },
  });
  const sets = { train: part(train, labels.train), test: part(test, labels.test) };
  const inverted =
    !options.inputs && !options.fromZero && meanOf(sets.train.inputs) > MIDDLE ? true : range.inverted;
  for (const [key, raw] of Object.entries({ train, test }) as ['train' | 'test', RawPart][]) {
    const { inputs } = sets[key];
    if (inverted !== range.inverted) for (let i = 0; i < inputs.length; i++) inputs[i] ^= 127;
    requireInformation(raw.images, sets[key], range);
    const outside = shareOutside(raw.images.data, range);
    if (outside > 0.01) {
      notes.push(
        `${(100 * outside).toFixed(1)}% of the values of "${printable(raw.images.name)}" lie outside ` +
          `${range.low}…${range.high}, the range of training: they are cut off`,
      );
    }
  }
  const [mean, other] = [meanOf(sets.train.inputs), meanOf(sets.test.inputs)];
  if (other > MIDDLE && other > 2 * mean) {
    notes.push(
      `the mean input is ${other.toFixed(0)} of 127 in "${printable(test.images.name)}" and ${mean.toFixed(0)} in ` +
        `"${printable(train.images.name)}": one of them may be a negative`,
    );
  }
  const inputs: Inputs = options.inputs
    ? { ...options.inputs, image: options.image ?? options.inputs.image }
    : {
        ...{ low: range.low, high: range.high, inverted },
        image: goesWithoutSaying(image, options) ? null : image,
        labels: areIndices(names) ? null : names,
      };
  return { ...sets, inputs, notes };
}

/** Labels as people read them: runs of integers as 1…26. */
export function namesInWords(names: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const name of names) {
    const last = runs.at(-1);
    if (last && last[1] + 1 === name) last[1] = name;
    else runs.push([name, name]);
  }
  const words = runs.map(([from, to]) =>
    from === to ? `${from}` : to - from === 1 ? `${from}, ${to}` : `${from}…${to}`,
  );
  return words.length > 20 ? `${words.slice(0, 20).join(', ')}, …` : words.join(', ');
}

/**
 * Where rows, columns and channels of an example are: [rows, columns]; [rows, columns, channels] or
 * [channels, rows, columns] with one to four channels.
 * @returns null of what is no image, or may be one in two ways
 */
export function imageOfShape(shape: readonly number[]): ImageShape | null {
  if (shape.length === 2) return image(shape[0], shape[1], 1, false);
  if (shape.length !== 3) return null;
  const [first, middle, last] = shape;
  const isChannels = (size: number) => size <= 4;
  if (isChannels(last) === isChannels(first)) return null;
  return isChannels(last) ? image(first, middle, last, false) : image(middle, last, first, first > 1);
}

/** A line of values is a table. */
function image(rows: number, columns: number, channels: number, planar: boolean): ImageShape | null {
  return rows > 1 && columns > 1 ? { rows, columns, channels, planar } : null;
}

function imageOf({ shape, name }: NamedArray, { inputs, image: said }: ReadingOptions): ImageShape | null {
  const own = imageOfShape(shape.slice(1));
  const given = said ?? inputs?.image ?? own;
  if (!given) return null;
  const { rows, columns, channels, planar } = given;
  const width = shape.slice(1).reduce((product, size) => product * size, 1);
  const fits = rows * columns * channels === width;
  if (!fits || (own && !isSameImage(own, given))) {
    const wanted = planar
      ? [channels, rows, columns]
      : channels > 1
        ? [rows, columns, channels]
        : [rows, columns];
    throw new InputError(
      `"${printable(name)}" expected images of ${wanted.join('×')}, got ${shape.slice(1).join('×')}`,
    );
  }
  return given;
}

function isSameImage(a: ImageShape, b: ImageShape): boolean {
  return a.rows === b.rows && a.columns === b.columns && a.channels === b.channels && a.planar === b.planar;
}

/** Square images of one channel that are such in their file need no word in a header. */
function goesWithoutSaying(image: ImageShape | null, { image: said }: ReadingOptions): boolean {
  return image === null || (!said && image.rows === image.columns && image.channels === 1);
}

function widthOf({ shape }: NamedArray): number {
  return shape.slice(1).reduce((product, size) => product * size, 1);
}

function requireAlike(train: NamedArray, test: NamedArray): void {
  const [own, other] = [train.shape.slice(1), test.shape.slice(1)];
  if (own.join() === other.join()) return;
  throw new InputError(
    `"${printable(test.name)}" expected examples of ${own.join('×') || 'one value'}, as for training, ` +
      `got ${other.join('×') || 'one value'}`,
  );
}

function requireWidth(images: NamedArray, width: number | undefined): void {
  const got = widthOf(images);
  if (width === undefined || width === got) return;
  throw new InputError(`"${printable(images.name)}" expected ${width} inputs, as the model has, got ${got}`);
}

/** The labels of a part, one an example, as they stand in the file. */
function readLabels({ images, labels }: RawPart): IdxValues {
  const [count] = images.shape;
  const { shape, data, name } = labels;
  if (shape[0] !== count || shape.slice(1).some((size) => size !== 1)) {
    throw new InputError(
      `"${printable(name)}" expected ${count} labels, as many as "${printable(images.name)}" has images, ` +
        `got shape ${shape.join('×')}`,
    );
  }
  const stray = data.findIndex((label: number) => !Number.isSafeInteger(label));
  if (stray >= 0) {
    throw new InputError(
      `"${printable(name)}" expected integers as labels, got ${data[stray]} as label ${stray}`,
    );
  }
  return data;
}

/** The labels of the training part, ascending: the classes. */
function trainedNames(labels: IdxValues, file: string): readonly number[] {
  const names = [...new Set<number>(labels)].sort((a, b) => a - b);
  if (names.length >= 2 && names.length <= LABELS_MAX) return names;
  const what = names.length < 2 ? 'labels of two classes or more' : `labels of at most ${LABELS_MAX} classes`;
  const got =
    names.length < 2 ? `only ${names[0]}` : `${names.length} different ones: ${namesInWords(names)}`;
  throw new InputError(`"${printable(file)}" expected ${what}, got ${got}`);
}

function classesOf(labels: IdxValues, names: readonly number[], file: string, who: string): Uint8Array {
  const classes = new Map(names.map((name, index) => [name, index]));
  const found = new Set<number>(labels);
  const strange = [...found].filter((label) => !classes.has(label)).sort((a, b) => a - b);
  if (strange.length > 0) {
    throw new InputError(
      `"${printable(file)}" expected labels that ${who} has, ${namesInWords(names)}; ` +
        `got ${namesInWords(strange)}, too`,
    );
  }
  const result = new Uint8Array(labels.length);
  for (let i = 0; i < result.length; i++) result[i] = classes.get(labels[i]) as number;
  return result;
}

/** Labels of a model that has no names for them: 0, 1, 2, … */
function upTo(largestLabel: number): number[] {
  return Array.from({ length: Math.min(LABELS_MAX, Math.max(1, largestLabel) + 1) }, (_, label) => label);
}

function largest(values: IdxValues): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > most) most = values[i];
  return most;
}

/**
 * The range that inputs are scaled by: of bytes that span half of it, the whole range of their type; else from the
 * smallest to the largest value of the training part.
 */
function rangeOf({ data, name }: NamedArray, fromZero: boolean): Omit<Inputs, 'image' | 'labels'> {
  const isByte = data.BYTES_PER_ELEMENT === 1;
  let [low, high] = [data[0], data[0]];
  for (let i = 1; i < data.length; i++) {
    if (data[i] < low) low = data[i];
    else if (data[i] > high) high = data[i];
    if (isByte && high - low >= BYTE_SPAN) {
      return data instanceof Int8Array ? { low: -128, high: 127, inverted: false } : PLAIN_INPUTS;
    }
  }
  if (low === high) {
    throw new InputError(
      `"${printable(name)}" expected values that differ, got ${low} everywhere: there is no information in them`,
    );
  }
  if (fromZero) [low, high] = [Math.min(0, low), Math.max(0, high)];
  if (!Number.isFinite(high - low)) {
    throw new InputError(`"${printable(name)}" expected a range of finite width, got ${low}…${high}`);
  }
  return { low, high, inverted: false };
}

/** Refuses examples that are all alike, or become alike by their scaling. */
function requireInformation(
  { data, name }: NamedArray,
  { inputs, count, width }: Examples,
  { low, high }: Pick<Inputs, 'low' | 'high'>,
): void {
  if (count < 2) return;
  const alike = mostAlike(inputs, count, width);
  if (2 * alike <= count) return;
  const before = mostAlike(data, count, width);
  const what = `"${printable(name)}" expected examples that differ, got `;
  if (before === count) {
    throw new InputError(`${what}${count} times the same: there is no information in them`);
  }
  if (alike === count || 2 * before <= count) {
    throw new InputError(
      `${what}${alike} of ${count} that are the same once ${low}…${high} is scaled to 0…127: ` +
        'their values lie too close together, or in another range than those that the model was trained on',
    );
  }
}

/** How many rows are the one that more than half of them are; less than that says nothing (Boyer and Moore's vote). */
function mostAlike(values: IdxValues, count: number, width: number): number {
  let candidate = 0;
  let votes = 0;
  for (let row = 0; row < count; row++) {
    if (votes === 0) candidate = row;
    votes += isSameRow(values, width, row, candidate) ? 1 : -1;
  }
  let alike = 0;
  for (let row = 0; row < count; row++) if (isSameRow(values, width, row, candidate)) alike += 1;
  return alike;
}

function isSameRow(values: IdxValues, width: number, a: number, b: number): boolean {
  // The middle differs sooner than the margin.
  const [atA, atB, middle] = [a * width, b * width, width >> 1];
  for (let i = middle; i < width; i++) if (values[atA + i] !== values[atB + i]) return false;
  for (let i = 0; i < middle; i++) if (values[atA + i] !== values[atB + i]) return false;
  return true;
}

function meanOf(inputs: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < inputs.length; i++) sum += inputs[i];
  return sum / inputs.length;
}

function shareOutside(data: IdxValues, { low, high }: Pick<Inputs, 'low' | 'high'>): number {
  if (data instanceof Uint8Array && low <= 0 && high >= 255) return 0;
  let outside = 0;
  for (let i = 0; i < data.length; i++) if (data[i] < low || data[i] > high) outside += 1;
  return outside / data.length;
}
