/** Batches of any model: examples by themselves, or windows of a text; and the batches that a data set is scored in. */

import { expected } from '../errors.js';
import { requireArray } from '../typed-arrays.js';

/** Rows that a model is run on. */
export interface Batch {
  /** [rows, width], u7 inputs, or bytes of a text. */
  readonly inputs: Uint8Array;
  /** [rows], classes, or the byte after each. */
  readonly labels: Uint8Array;
  /** Rows that see each other, one after another: 1 for examples, the positions of a window. */
  readonly length: number;
}

/**
 * A batch of windows of a text, each of which predicts the byte after every position.
 * @param bytes - [windows, length + 1]; the last byte of a window is only predicted
 * @param length - positions of a window
 * @throws {ConfigError} when these are not whole windows
 * @example placed.load(batchOfWindows(new TextEncoder().encode('to be or'), 7));
 */
export function batchOfWindows(bytes: Uint8Array, length: number): Batch {
  requireArray('bytes', 'Uint8Array', bytes);
  const windows = bytes.length / (length + 1);
  if (!Number.isInteger(windows) || windows < 1) {
    throw expected('bytes', `one or more windows of ${length + 1}`, bytes.length);
  }
  const inputs = new Uint8Array(windows * length);
  const labels = new Uint8Array(windows * length);
  for (let window = 0; window < windows; window++) {
    const first = window * (length + 1);
    inputs.set(bytes.subarray(first, first + length), window * length);
    labels.set(bytes.subarray(first + 1, first + length + 1), window * length);
  }
  return { inputs, labels, length };
}

/** A batch to be scored on. */
export interface ScoredBatch extends Batch {
  /** Of each window, the position from which on its rows count. */
  readonly from: number;
}

/** The examples to evaluate. */
export interface LabelledExamples {
  /** [count, width] u7. */
  readonly inputs: Uint8Array;
  /** [count]. */
  readonly labels: Uint8Array;
  readonly count: number;
  readonly width: number;
}

/** Batches that a model is scored on. */
export interface ScoredBatches {
  /** Rows that count, all batches together. */
  readonly rows: number;
  readonly batches: Iterable<ScoredBatch>;
}

/** All examples, so many at a time. */
export function exampleBatches(examples: LabelledExamples, size: number): ScoredBatches {
  const { inputs, labels, count, width } = examples;
  function* batches(): Generator<ScoredBatch> {
    for (let first = 0; first < count; first += size) {
      const end = Math.min(count, first + size);
      const part = {
        inputs: inputs.subarray(first * width, end * width),
        labels: labels.subarray(first, end),
      };
      yield { ...part, length: 1, from: 0 };
    }
  }
  return { rows: count, batches: batches() };
}

/** How a text is cut into windows. */
export interface Windows {
  /** That are loaded at once. */
  readonly windows: number;
  /** T, bytes of a window. */
  readonly context: number;
  /**
   * Bytes from one window to the next, 1…context. With the context itself, windows follow one another; with less, they
   * overlap, and of each but the first its last `stride` bytes count.
   */
  readonly stride: number;
  /** Of a text with more, so many bytes alone are predicted: windows spread evenly over it; at least the context. */
  readonly most?: number | undefined;
}

/** A window, the positions that it has, and the first of them that counts. */
interface Window {
  readonly start: number;
  readonly length: number;
  readonly from: number;
}

/**
 * A text in windows: each byte but the first is predicted once, by what its window has before it.
 * @throws {ConfigError} when a number is out of range, or the text has nothing to predict
 */
export function windowBatches(
  text: Uint8Array,
  { windows, context, stride, most = Number.POSITIVE_INFINITY }: Windows,
): ScoredBatches {
  if (text.length < 2) throw expected('text', 'at least 2 bytes, one of which is predicted', text.length);
  if (!Number.isInteger(windows) || windows < 1) throw expected('windows', 'a positive integer', windows);
  if (!Number.isInteger(stride) || stride < 1 || stride > context) {
    throw expected('stride', `an integer in 1…${context}, the context`, stride);
  }
  if (!(most >= context)) throw expected('most', `at least ${context}, the context`, most);
  const total = text.length - 1;
  const all = () => windowsOf(total, context, stride, most);
  let rows = 0;
  for (const { length, from } of all()) rows += length - from;
  function* batches(): Generator<ScoredBatch> {
    let batch: Window[] = [];
    for (const window of all()) {
      const [first] = batch;
      const fits = first === undefined || (first.length === window.length && first.from === window.from);
      if (!fits || batch.length === windows) {
        yield rowsOf(text, batch);
        batch = [];
      }
      batch.push(window);
    }
    yield rowsOf(text, batch);
  }
  return { rows, batches: batches() };
}

/** Windows that predict each byte once; of too many, so many that they predict `most` bytes, evenly spread. */
function* windowsOf(total: number, context: number, stride: number, most: number): Generator<Window> {
  const first = Math.min(context, total);
  const all = 1 + Math.ceil((total - first) / stride);
  const chosen = total <= most ? all : 1 + Math.floor((most - first) / stride);
  for (let i = 0; i < chosen; i++) {
    const window = Math.floor((i * all) / chosen);
    if (window === 0) {
      yield { start: 0, length: first, from: 0 };
      continue;
    }
    const before = first + (window - 1) * stride;
    const fresh = Math.min(stride, total - before);
    yield { start: before + fresh - context, length: context, from: context - fresh };
  }
}

/** Windows of one length. */
function rowsOf(text: Uint8Array, windows: readonly Window[]): ScoredBatch {
  const [{ length, from }] = windows;
  const inputs = new Uint8Array(windows.length * length);
  const labels = new Uint8Array(windows.length * length);
  for (const [i, { start }] of windows.entries()) {
    inputs.set(text.subarray(start, start + length), i * length);
    labels.set(text.subarray(start + 1, start + length + 1), i * length);
  }
  return { inputs, labels, length, from };
}

export interface Score {
  /** Rows that counted. */
  readonly examples: number;
  /** Share of them whose prediction was right, 0…1. */
  readonly accuracy: number;
  /** Mean cross-entropy in nats. */
  readonly loss: number;
}
