/**
 * A transformer on a device: windows go through it together, as many as the work memory has room for, a row a
 * position; a text that grows goes a byte at a time, with keys and values of all applications of blocks in a cache.
 */

import { BackendError } from '../../errors.js';
import { SOFTMAX, softmaxScale } from '../../ternary/attention.js';
import { EXP2, LOG2 } from '../../ternary/loss.js';
import { rmsGain, rmsValueBits } from '../../ternary/rms-norm.js';
import { rotaryTables } from '../../ternary/rotary.js';
import { SILU } from '../../ternary/silu.js';
import { type ScaledMatrix, type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import type { Alignment, Evaluation, PlacedText, TextRoom } from '../backend.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { mixKernel, scoresKernel, weightsKernel } from './kernels/attention.js';
import { type Kernel, linearGroups } from './kernels/kernel.js';
import { DIRECT_DEPTH_MAX, DIRECT_SIZE, linearKernel } from './kernels/linear.js';
import { LOSS_SIZE, lossKernel, lossTables } from './kernels/loss.js';
import { tileCounts, TILE_SIDE } from './kernels/tile.js';
import {
  addKernel,
  embedKernel,
  gateKernel,
  ITEMS,
  logitsKernel,
  narrowKernel,
  normKernel,
  turnKernel,
} from './kernels/transformer.js';
import { roundUp, VALUES_PER_VEC4 } from './plan.js';
import { Recorder } from './recorder.js';
import { packLayer } from './trits.js';

/** A matrix in device memory, and what brings its sums to their unit. */
interface PlacedMatrix {
  readonly units: number;
  readonly inputs: number;
  /** Vec4s of a row of inputs. */
  readonly depth: number;
  /** Word where it begins. */
  readonly weightsAt: number;
  readonly wide: boolean;
  readonly scale: number;
  readonly offset: number;
}

/** Rows on their way: those of whole windows, or the one of a text that grows. */
interface Rows {
  readonly rows: number;
  /** Index of the first row's byte and label. */
  readonly first: number;
  /** Positions of a window, and that of a window's first row. */
  readonly length: number;
  readonly start: number;
  /** Whether keys and values stay, a cache for each application. */
  readonly growing: boolean;
}

export class WebgpuText implements PlacedText {
  readonly #guard: TextGuard;
  readonly #recorder: Recorder;
  readonly #buffers: DeviceBuffer[] = [];
  readonly #kernels = new Map<string, Kernel>();
  readonly #matrices: ReadonlyMap<ScaledMatrix, PlacedMatrix>;
  readonly #weightWords: number;
  /** Windows, and rows of attention, that go at a time. */
  readonly #windowsAtOnce: number;
  readonly #rowsOfScores: number;
  readonly #at: ReturnType<typeof makeRoom>;
  #values: Int8Array;
  #windows = 0;
  #length = 0;
  #position = 0;

  /**
   * @throws {ConfigError} when the device has no room for it
   * @throws {BackendError} when it is to be trained
   */
  constructor(
    readonly device: WebgpuDevice,
    readonly model: Transformer,
    readonly room: TextRoom,
    readonly onRelease: () => void,
  ) {
    device.check();
    this.#guard = new TextGuard(model, room);
    if (room.align) throw untrainable();
    this.#values = new Int8Array(model.parameters);
    const { matrices, words } = placeMatrices(model);
    this.#matrices = matrices;
    this.#weightWords = words;
    const { width, hidden, context, heads } = model;
    const widest = Math.max(width, hidden, VOCABULARY);
    const windows = Math.floor(device.workBytes / (4 * widest * context));
    this.#windowsAtOnce = Math.max(1, Math.min(room.windows, windows));
    const rows = this.#windowsAtOnce * context;
    this.#rowsOfScores = Math.max(1, Math.min(rows, Math.floor(device.workBytes / (4 * heads * context))));
    this.#recorder = new Recorder(device);
    try {
      this.#at = makeRoom(model, room.windows, rows, this.#rowsOfScores, words, (label, count) => {
        const buffer = device.allocate(label, 4 * count);
        this.#buffers.push(buffer);
        return buffer;
      });
      this.#writeTables();
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  async writeWeights(values: Int8Array): Promise<void> {
    checkValues(this.model, values);
    this.device.check();
    this.#values = values.slice();
    const words = new Uint32Array(this.#weightWords);
    for (const matrix of this.#matrices.values()) {
      const { offset, units, inputs } = matrix;
      packLayer(matrix, values.subarray(offset, offset + units * inputs), words);
    }
    this.#write(this.#at.weights, words);
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    this.#length = length;
    this.#windows = bytes.length / (length + 1);
    const [inputs, labels] = [0, 1].map((from) => {
      const part = new Uint8Array(roundUp(this.#windows * length, 4));
      for (let window = 0; window < this.#windows; window++) {
        const first = window * (length + 1) + from;
        part.set(bytes.subarray(first, first + length), window * length);
      }
      return part;
    });
    this.#write(this.#at.bytes, inputs);
    this.#write(this.#at.labels, labels);
  }

  async evaluate(): Promise<Evaluation> {
    const length = this.#guard.requireWindows(this.#length);
    this.restart();
    const { tables, labels, z, losses, predictions, largest } = this.#at;
    for (let window = 0; window < this.#windows; window += this.#windowsAtOnce) {
      const rows = Math.min(this.#windowsAtOnce, this.#windows - window) * length;
      const first = window * length;
      this.#recordLogits({ rows, first, length, start: 0, growing: false });
      this.#recorder.add(
        this.#kernel('loss', () =>
          lossKernel({ widths: [this.model.width, VOCABULARY], logitScale: 1 }, true),
        ),
        { tables, labels, z, losses, predictions, softmax: largest },
        { count: rows, firstExample: first, firstResult: first, copies: 1, examples: rows },
        linearGroups(rows, LOSS_SIZE),
      );
    }
    this.#recorder.submit();
    const bytes = 4 * this.#windows * length;
    const [lossBytes, guesses] = await this.device.fetch([
      { from: losses, bytes },
      { from: predictions, bytes },
    ]);
    return {
      losses: new Int32Array(lossBytes),
      predictions: Uint8Array.from(new Uint32Array(guesses)),
    };
  }

  async align(): Promise<Alignment<Int32Array>> {
    throw untrainable();
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    this.#write(this.#at.next, Uint32Array.of(byte));
    this.#recordLogits({ rows: 1, first: 0, length: 1, start: this.#position, growing: true });
    this.#recorder.submit();
    this.#position += 1;
    const [logits] = await this.device.fetch([{ from: this.#at.z, bytes: 4 * VOCABULARY }]);
    return new Int32Array(logits);
  }

  async release(): Promise<void> {
    this.#free();
    this.onRelease();
  }

  /** Records everything from bytes to logits, which are left in `z`. */
  #recordLogits(all: Rows): void {
    const { model } = this;
    const { weights, bytes, next, x, z, n } = this.#at;
    const { rows } = all;
    const embed = this.#matrix(model.embed);
    this.#recorder.add(
      this.#kernel(`embed ${embed.wide}`, () => embedKernel(embed.wide)),
      { weights, bytes: all.growing ? next : bytes, x },
      { rows, first: all.first, width: model.width, depth: embed.depth, ...this.#scaleOf(model.embed) },
      linearGroups(rows * model.width, ITEMS),
    );
    model.order.forEach((layer, application) => this.#recordBlock(layer, application, all));
    this.#recordNorm(rows);
    this.#recordProduct(model.head, n, z, rows);
    const items = rows * VOCABULARY;
    this.#recorder.add(
      this.#kernel('logits', logitsKernel),
      { z },
      { items, shift: model.headShift, ...this.#scaleOf(model.head) },
      linearGroups(items, ITEMS),
    );
  }

  #recordBlock(layer: number, application: number, all: Rows): void {
    const { model } = this;
    const block = model.layers[layer];
    const { q, n, z, z2, mix, h, silu } = this.#at;
    const { rows, growing, start } = all;
    const [keys, values] = growing
      ? [this.#at.keyCache, this.#at.valueCache]
      : [this.#at.keys, this.#at.values];
    const keysFrom = growing ? application * model.context : 0;
    this.#recordNorm(rows);
    this.#recordProduct(block.query, n, z, rows);
    this.#recordTurn(block.query, q, 0, all);
    this.#recordProduct(block.key, n, z, rows);
    this.#recordTurn(block.key, keys, keysFrom + (growing ? start : 0), all);
    this.#recordProduct(block.value, n, z, rows);
    const { units } = this.#matrix(block.value);
    this.#recorder.add(
      this.#kernel('narrow', narrowKernel),
      { z, v: values },
      { rows, units, to: keysFrom + (growing ? start : 0), ...this.#scaleOf(block.value) },
      linearGroups(rows * units, ITEMS),
    );
    this.#recordAttention(keys, values, keysFrom, all);
    this.#recordProduct(block.output, mix, z, rows);
    this.#recordAdd(block.output, rows);

    this.#recordNorm(rows);
    this.#recordProduct(block.gate, n, z, rows);
    this.#recordProduct(block.up, n, z2, rows);
    const words = wordsOf(model.hidden);
    const { mantissa: mantissa2, exponent: exponent2 } = this.#scaleOf(block.up);
    this.#recorder.add(
      this.#kernel('gate', gateKernel),
      { z, z2, silu, h },
      { rows, units: model.hidden, words, ...this.#scaleOf(block.gate), mantissa2, exponent2 },
      linearGroups(rows * words, ITEMS),
    );
    this.#recordProduct(block.down, h, z, rows);
    this.#recordAdd(block.down, rows);
  }

  #recordNorm(rows: number): void {
    const { width } = this.model;
    const { x, n } = this.#at;
    this.#recorder.add(
      this.#kernel('norm', normKernel),
      { x, n },
      { rows, width, words: wordsOf(width), gain: rmsGain(width), valueBits: rmsValueBits(width) },
      linearGroups(rows, 1),
    );
  }

  /** Sums of a matrix, [rows, units]. */
  #recordProduct(of: ScaledMatrix, x: DeviceBuffer, z: DeviceBuffer, rows: number): void {
    const { device } = this;
    const { units, depth, weightsAt, wide } = this.#matrix(of);
    const counts =
      depth <= DIRECT_DEPTH_MAX ? null : tileCounts(rows, units, 1, device.workgroupBytes, device.tiles);
    const variant = { counts, wide, scaled: false };
    this.#recorder.add(
      this.#kernel(`linear ${JSON.stringify(variant)}`, () => linearKernel(variant, device.features)),
      { weights: this.#at.weights, scales: this.#at.noScales, x, z },
      { firstRow: 0, rows, units, depth, weightsAt, shift: 0, scalesAt: 0 },
      counts
        ? [Math.ceil(rows / (TILE_SIDE * counts.lefts)), Math.ceil(units / (TILE_SIDE * counts.rights))]
        : linearGroups(rows * units, DIRECT_SIZE),
    );
  }

  /** Sums in `z` become queries or keys, in rows `to`… of a buffer. */
  #recordTurn(of: ScaledMatrix, q: DeviceBuffer, to: number, { rows, start, length }: Rows): void {
    const { headSize, context } = this.model;
    const { units } = this.#matrix(of);
    const pairs = headSize / 2;
    const { z, rotary } = this.#at;
    this.#recorder.add(
      this.#kernel('turn', turnKernel),
      { z, rotary, q },
      { rows, units, to, ...this.#scaleOf(of), pairs, start, length, sines: context * pairs },
      linearGroups((rows * units) / 2, ITEMS),
    );
  }

  #recordAttention(keys: DeviceBuffer, values: DeviceBuffer, keysFrom: number, all: Rows): void {
    const { heads, keyHeads, headSize, context, width } = this.model;
    const { q, scores, softmax, totals, mix } = this.#at;
    const words = wordsOf(width);
    for (let firstRow = 0; firstRow < all.rows; firstRow += this.#rowsOfScores) {
      const rows = Math.min(this.#rowsOfScores, all.rows - firstRow);
      const params = {
        ...{ firstRow, rows, start: all.start, length: all.length, keysFrom, context },
        ...{ heads, keyHeads, headSize, words, ...softmaxScale(headSize, context) },
      };
      this.#recorder.add(
        this.#kernel('scores', scoresKernel),
        { q, keys, scores },
        params,
        linearGroups(rows * heads * context, ITEMS),
      );
      this.#recorder.add(
        this.#kernel('weights', weightsKernel),
        { scores, softmax, totals },
        params,
        linearGroups(rows * heads, ITEMS),
      );
      this.#recorder.add(
        this.#kernel('mix', mixKernel),
        { scores, totals, values, mix },
        params,
        linearGroups(rows * words, ITEMS),
      );
    }
  }

  #recordAdd(of: ScaledMatrix, rows: number): void {
    const { x, z } = this.#at;
    const items = rows * this.model.width;
    this.#recorder.add(
      this.#kernel('add', addKernel),
      { z, x },
      { items, ...this.#scaleOf(of) },
      linearGroups(items, ITEMS),
    );
  }

  #writeTables(): void {
    const { headSize, context } = this.model;
    const { cosines, sines } = rotaryTables(headSize, context);
    this.#write(this.#at.tables, lossTables() as Int32Array<ArrayBuffer>);
    this.#write(this.#at.rotary, Int32Array.of(...cosines, ...sines));
    this.#write(this.#at.softmax, Int32Array.from(SOFTMAX));
    this.#write(this.#at.silu, Int32Array.from(SILU));
  }

  #matrix(of: ScaledMatrix): PlacedMatrix {
    return this.#matrices.get(of) as PlacedMatrix;
  }

  #scaleOf({ scale }: ScaledMatrix): { mantissa: number; exponent: number } {
    const at = this.model.scales.offset + 2 * scale;
    return { mantissa: this.#values[at], exponent: this.#values[at + 1] };
  }

  #kernel<Made extends Kernel>(name: string, make: () => Made): Made {
    const made = (this.#kernels.get(name) as Made | undefined) ?? make();
    this.#kernels.set(name, made);
    return made;
  }

  #write(
    buffer: DeviceBuffer,
    data: Uint8Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>,
  ): void {
    this.device.device.queue.writeBuffer(buffer.buffer, 0, data);
  }

  #free(): void {
    for (const buffer of this.#buffers.splice(0)) this.device.free(buffer);
    this.#recorder.release();
  }
}

/**
 * The buffers of a transformer.
 * @param windows - that may be loaded
 * @param rows - that go through it at a time; of them `rowsOfScores` through attention
 * @param take - makes room for so many words
 */
function makeRoom(
  { width, hidden, context, heads, keyHeads, headSize, order }: Transformer,
  windows: number,
  rows: number,
  rowsOfScores: number,
  weightWords: number,
  take: (label: string, words: number) => DeviceBuffer,
) {
  const positions = windows * context;
  const packed = (units: number) => rows * wordsOf(units);
  const keyRows = rows * keyHeads * headSize;
  const cache = order.length * context * keyHeads * headSize;
  return {
    weights: take('weights', weightWords),
    noScales: take('scales', 1),
    tables: take('tables', EXP2.length + LOG2.length),
    rotary: take('rotary tables', context * headSize),
    softmax: take('softmax table', SOFTMAX.length),
    silu: take('silu table', SILU.length),
    bytes: take('bytes', positions / 4 + 1),
    labels: take('labels', positions / 4 + 1),
    losses: take('losses', positions),
    predictions: take('predictions', positions),
    next: take('next byte', 1),
    x: take('residual stream', rows * width),
    n: take('normalized activations', packed(width)),
    z: take('sums', rows * Math.max(width, hidden, VOCABULARY)),
    z2: take('sums of what is gated', rows * hidden),
    q: take('queries', rows * width),
    keys: take('keys', keyRows),
    values: take('values', keyRows),
    keyCache: take('keys of a text', cache),
    valueCache: take('values of a text', cache),
    scores: take('scores', rowsOfScores * heads * context),
    totals: take('sums of weights', rowsOfScores * heads),
    mix: take('mixed values', packed(width)),
    h: take('gated activations', packed(hidden)),
    largest: take('softmax sums', 2 * rows),
  };
}

/** Words of a row of i8, filled up to whole vec4s. */
function wordsOf(units: number): number {
  return 4 * Math.ceil(units / VALUES_PER_VEC4);
}

/** Where the matrices lie, one after another; a tied head lies where the embedding does. */
function placeMatrices(model: Transformer): { matrices: Map<ScaledMatrix, PlacedMatrix>; words: number } {
  const { embed, layers, head } = model;
  const matrices = new Map<ScaledMatrix, PlacedMatrix>();
  let words = 0;
  for (const matrix of [embed, ...layers.flatMap((block) => Object.values(block) as ScaledMatrix[]), head]) {
    const { rows, columns, values, offset } = matrix.weights;
    const tied = matrix === head && matrix.weights === embed.weights;
    const depth = Math.ceil(columns / VALUES_PER_VEC4);
    const wide = values !== 'trit';
    const weightsAt = tied ? 0 : wide ? roundUp(words, 4) : words;
    matrices.set(matrix, {
      units: rows,
      inputs: columns,
      depth,
      weightsAt,
      wide,
      scale: matrix.scale,
      offset,
    });
    if (!tied) words = weightsAt + rows * depth * (wide ? 4 : 1);
  }
  return { matrices, words: roundUp(words, 4) };
}

function untrainable(): BackendError {
  return new BackendError(
    'the backend webgpu runs transformers and does not train them: use "--backend wasm"',
  );
}
