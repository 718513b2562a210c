/** Models to predict with: an artifact, rebuilt and placed, that takes what people have. */

import type { Backend, Placed } from '../backend/backend.js';
import { type BackendChoice, openBackend } from '../backend/open.js';
import type { SampleOptions } from '../backend/sample.js';
import { ConfigError, expected } from '../errors.js';
import { keyOf } from '../random/key.js';
import { classesOf, type Graph, type Op } from '../ternary/graph.js';
import type { Watch } from '../watch.js';
import { type Artifact, openArtifact } from './artifact.js';
import { blobSource } from './byte-source.js';
import { type Inputs, inputsOf, type RawValues, scaleInputs } from './inputs.js';
import { openUrl } from './open-url.js';
import { rebuildVerified } from './rebuild.js';

/** Where an artifact is: its bytes, a File or Blob, a URL, or a path in Node; a page takes any text as a URL. */
export type ModelSource = Uint8Array | ArrayBuffer | Blob | URL | string;

export interface LoadOptions extends Watch {
  /** What computes, or its name; `auto` if left out. One that is given open stays open. */
  readonly backend?: Backend | BackendChoice | undefined;
  /** For the backends that have threads; 1 if left out, which is enough for single predictions. */
  readonly threads?: number | undefined;
  /** Of a delta: its base, then the base of that, and so on. */
  readonly bases?: readonly ModelSource[] | undefined;
}

/** Pixels of a canvas: red, green, blue and alpha of each, row by row. */
export interface Pixels {
  readonly data: Uint8Array | Uint8ClampedArray;
  readonly width: number;
  readonly height: number;
}

export interface PredictOptions {
  /**
   * The range of the values, if it is another than that of the data that the model was trained on: with [0, 1], 0
   * stands for the least of those and 1 for the largest. Pixels of a canvas need none.
   */
  readonly range?: readonly [low: number, high: number] | undefined;
}

/** What a model thinks of an input. */
export interface Prediction {
  /** The likeliest class as the training data call it, or the likeliest next byte of a text. */
  readonly label: number;
  /** Its index among the classes. */
  readonly index: number;
  /** Its probability, 0…1. */
  readonly probability: number;
  /** [classes] probabilities of all. */
  readonly probabilities: Float64Array;
}

/** See `load`. */
export async function loadModel(source: ModelSource, options: LoadOptions = {}): Promise<LoadedModel> {
  const { backend: choice = 'auto', threads = 1, bases = [], ...watch } = options;
  const [artifact, ...others] = await Promise.all([source, ...bases].map((one) => openSource(one, watch)));
  const own = typeof choice === 'string' ? await openBackend(choice, threads) : null;
  const backend = own ?? (choice as Backend);
  try {
    let weights: Int8Array | undefined;
    for (const under of others.toReversed()) weights = await rebuildVerified(under, backend, weights, watch);
    weights = await rebuildVerified(artifact, backend, weights, watch);
    const placed = await backend.place(artifact.network, { batch: 1 });
    await placed.writeWeights(weights);
    return new LoadedModel(artifact, placed, async () => {
      await placed.release();
      await own?.close();
    });
  } catch (error) {
    await own?.close();
    throw error;
  }
}

/** Text that names something to fetch, in Node too. */
const REMOTE = /^(https?|data|blob):/i;

async function openSource(source: ModelSource, { signal }: Watch): Promise<Artifact> {
  if (source instanceof Uint8Array) return openArtifact(source);
  if (source instanceof ArrayBuffer) return openArtifact(new Uint8Array(source));
  const isRemote =
    source instanceof URL
      ? source.protocol !== 'file:'
      : typeof source === 'string' && (REMOTE.test(source) || typeof document !== 'undefined');
  if (isRemote) return openUrl(source as URL | string, signal ? { signal } : {});
  const isFile = source instanceof URL || typeof source === 'string';
  const bytes = isFile ? await (await import('./file-source.js')).fileSource(source) : blobSource(source);
  try {
    return openArtifact(await bytes.read(0, bytes.size));
  } finally {
    await bytes.close();
  }
}

/** A model that is ready. Calls on it take turns. */
export class LoadedModel {
  readonly #inputs: Inputs;
  readonly #close: () => Promise<void>;

  constructor(
    readonly artifact: Artifact,
    readonly placed: Placed,
    close: () => Promise<void>,
  ) {
    this.#inputs = inputsOf(artifact.header as Parameters<typeof inputsOf>[0]);
    this.#close = close;
  }

  get graph(): Graph {
    return this.placed.graph;
  }

  /** What the classes are called, by their index; of a text, the bytes. */
  get labels(): readonly number[] {
    return this.#inputs.labels ?? Array.from({ length: classesOf(this.graph) }, (_, index) => index);
  }

  /**
   * Predicts the class of an example: its raw values, as the training data had them, or the pixels of a canvas, which
   * are made as large as the model's images and grey where those are; or the byte after a text.
   * @throws {ConfigError} when it is of another kind or size than the model takes
   * @example await model.predict(context.getImageData(0, 0, 280, 280));
   * @example await model.predict(Float32Array.from(values), { range: [0, 1] });
   * @example await model.predict('The ');
   */
  async predict(input: RawValues | Pixels | string, { range }: PredictOptions = {}): Promise<Prediction> {
    const logits =
      this.graph.rows === 'positions'
        ? await this.#logitsAfter(input)
        : await this.#logitsOf(this.#values(input), range);
    return this.#prediction(logits);
  }

  /**
   * Continues a text, byte by byte.
   * @throws {ConfigError} when the model takes no text, or an option is out of range
   * @example for await (const byte of model.sample('The ', { length: 200, seed: 'a' })) bytes.push(byte);
   */
  async *sample(
    prompt: string | Uint8Array,
    options: Partial<Omit<SampleOptions, 'prompt' | 'key'>> & { readonly seed?: string } = {},
  ): AsyncGenerator<number> {
    const { length = 200, temperature = 0.8, topK = 256, seed = '1' } = options;
    const { sample } = await import('../backend/sample.js'); // few models are of texts
    yield* sample(this.placed, {
      ...{ prompt: bytesOf(prompt), key: keyOf(seed), length, temperature, topK },
    });
  }

  /** Frees the model, and the backend if it was opened for it. */
  close(): Promise<void> {
    return this.#close();
  }

  async #logitsOf(values: RawValues, range: PredictOptions['range']): Promise<Int32Array> {
    const { low, high } = this.#inputs;
    const [from, to] = range ?? [low, high];
    if (!(to > from)) throw expected('range', 'a lower number and a higher one', `${from}, ${to}`);
    const { width } = this.graph.slots[0];
    if (values.length !== width) throw expected('input', `${width} values`, values.length);
    const wrong = Array.prototype.find.call(values, (value) => !Number.isFinite(value));
    if (wrong !== undefined) throw expected('input', 'finite numbers', wrong);
    // Values of another range stand where they would in that of the training data.
    const spread = (high - low) / (to - from);
    const raw = range ? Float64Array.from(values, (value) => low + (value - from) * spread) : values;
    const inputs = scaleInputs(raw, this.#inputs);
    this.placed.load({ inputs, labels: new Uint8Array(1), length: 1 });
    const { logitScale } = (this.graph.program.at(-1) as Op<'loss'>).attributes;
    return (await this.placed.logits()).map((logit) => logit * logitScale);
  }

  async #logitsAfter(input: RawValues | Pixels | string): Promise<Int32Array> {
    if (typeof input !== 'string' && !(input instanceof Uint8Array)) {
      throw new ConfigError('the model takes a text: a string, or a Uint8Array of its bytes');
    }
    const bytes = bytesOf(input);
    if (bytes.length === 0) throw expected('input', 'at least one byte', 'none');
    this.placed.restart();
    const calls = Array.from(bytes.subarray(-this.graph.context), (byte) => this.placed.next(byte));
    return (await Promise.all(calls)).at(-1) as Int32Array;
  }

  /** The raw values of an example. */
  #values(input: RawValues | Pixels | string): RawValues {
    if (typeof input === 'string') throw new ConfigError('the model takes examples of numbers, no text');
    return 'data' in input ? this.#valuesOfPixels(input) : input;
  }

  #valuesOfPixels({ data, width, height }: Pixels): Float64Array {
    if (data.length !== 4 * width * height || width < 1 || height < 1) {
      throw expected('input', '4 values for each pixel', data.length);
    }
    const { low, high, inverted } = this.#inputs;
    const { rows, columns, channels, planar } = this.#image();
    const values = new Float64Array(rows * columns * channels);
    const paper = inverted ? 255 : 0; // what is transparent is background
    for (let row = 0; row < rows; row++) {
      const [top, bottom] = spanOf(row, rows, height);
      for (let column = 0; column < columns; column++) {
        const [left, right] = spanOf(column, columns, width);
        const sums = [0, 0, 0];
        for (let y = top; y < bottom; y++) {
          for (let x = left; x < right; x++) {
            const at = 4 * (y * width + x);
            const alpha = data[at + 3] / 255;
            for (let c = 0; c < 3; c++) sums[c] += data[at + c] * alpha + paper * (1 - alpha);
          }
        }
        const [red, green, blue] = sums.map((sum) => sum / ((bottom - top) * (right - left)) / 255);
        const grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        const colours = channels === 1 ? [grey] : [red, green, blue, 1].slice(0, channels);
        for (const [c, value] of colours.entries()) {
          const pixel = row * columns + column;
          values[planar ? c * rows * columns + pixel : pixel * channels + c] = low + value * (high - low);
        }
      }
    }
    return values;
  }

  #image() {
    const { image } = this.#inputs;
    if (image) return image;
    const { width } = this.graph.slots[0];
    const side = Math.sqrt(width);
    if (Number.isInteger(side)) return { rows: side, columns: side, channels: 1, planar: false };
    throw new ConfigError(`the model takes ${width} numbers that are no image: give them as an array`);
  }

  /** @param logits - [classes] in 2⁻¹⁶ bits */
  #prediction(logits: Int32Array): Prediction {
    const index = logits.indexOf(Math.max(...logits));
    const weights = Float64Array.from(logits, (logit) => 2 ** ((logit - logits[index]) / 65_536));
    const sum = weights.reduce((total, weight) => total + weight, 0);
    const probabilities = weights.map((weight) => weight / sum);
    return { label: this.labels[index], index, probability: probabilities[index], probabilities };
  }
}

function bytesOf(text: string | Uint8Array): Uint8Array {
  return typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

/** The pixels of a canvas that a pixel of an image covers along one side: at least one. */
function spanOf(index: number, count: number, size: number): [from: number, to: number] {
  const from = Math.min(size - 1, Math.floor((index * size) / count));
  return [from, Math.max(from + 1, Math.floor(((index + 1) * size) / count))];
}
