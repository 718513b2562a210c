/**
 * A transformer in the memory that the kernels share: its weights with rows padded to 16 bytes, tables, the windows
 * of one batch with their results, keys and values of the text that grows, and for each thread room for one window.
 */

import { SOFTMAX, softmaxScale } from '../../ops/attention/op.js';
import { EXP2, LOG2 } from '../../ops/loss/op.js';
import { rmsGain, rmsValueBits } from '../../ops/rms-norm/op.js';
import { rotaryTables } from '../../ops/rotary/op.js';
import { SILU } from '../../ops/gate/op.js';
import { type ScaledMatrix, type Transformer, VOCABULARY } from '../../ternary/transformer.js';
import { ConfigError } from '../../errors.js';
import type { Alignment, Evaluation, PlacedText, TextProbes, TextRoom } from '../backend.js';
import type { Helper, Platform } from '../platform/platform.js';
import { TextGuard } from '../text-guard.js';
import { checkValues } from '../value-guard.js';
import type { Kernels, TransformerExports } from './kernels.js';
import { CONTROL, type ControlField } from './memory-plan.js';

/** Jobs of assembly/jobs.ts. */
const JOB_TEXT = 10;
const JOB_TEXT_NODES = 11;
const PAGE_BYTES = 65_536;
const PAGES_MAX = 65_536;

/** Fields of Text in assembly/text.ts. */
const TEXT = [
  ...['width', 'stride', 'hidden', 'hiddenStride', 'heads', 'keyHeads', 'headSize', 'keyStride'],
  ...[
    'factor',
    'range',
    'shift',
    'headShift',
    'gain',
    'valueBits',
    'applications',
    'order',
    'matrices',
    'head',
  ],
  ...['cosines', 'sines', 'softmax', 'silu', 'length', 'windows', 'caches', 'cacheBytes'],
  ...['x', 'n', 'z', 'z2', 'q', 'keys', 'values', 'mix', 'h', 'coarser', 'weights', 'sums', 'zStride'],
  ...[
    'alignments',
    'alignmentCount',
    'firstWeights',
    'horizon',
    'kept',
    'keptStride',
    'keptY',
    'keptN',
    'keptN2',
  ],
  ...['keptQ', 'keptKeys', 'keptValues', 'keptMix', 'keptH', 'keptCoarser'],
  ...['base', 'other', 'sizes', 'signs', 'errors', 'pairs', 'errorPairs', 'plus', 'minus', 'words'],
] as const;
/** Words of a Matrix there. */
const MATRIX_WORDS = 7;

/** Where the parts of the memory begin. */
type Plan = ReturnType<typeof planText>;

export class WasmText implements PlacedText {
  readonly #guard: TextGuard;
  readonly #plan: Plan;
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: TransformerExports;
  #helpers: Helper[] | null = null;
  #windows = 0;
  #length = 0;
  #position = 0;

  /** @throws {ConfigError} when it needs more memory than wasm has */
  constructor(
    readonly host: Platform,
    readonly compiled: Kernels,
    readonly model: Transformer,
    room: TextRoom,
    readonly threads: number,
    readonly onRelease: () => void,
  ) {
    this.#guard = new TextGuard(model, room);
    this.#plan = planText(model, room, threads);
    const pages = Math.ceil(this.#plan.end / PAGE_BYTES) + 1;
    if (pages > PAGES_MAX) {
      const gibibytes = (this.#plan.end / 2 ** 30).toFixed(1);
      throw new ConfigError(
        `the model with ${room.windows} windows on ${threads} threads needs ${gibibytes} GiB of memory, more than the ` +
          '4 GiB of wasm: use fewer windows or threads',
      );
    }
    this.#memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const instance = new WebAssembly.Instance(compiled.module, { env: { memory: this.#memory, abort() {} } });
    this.#kernels = instance.exports as unknown as TransformerExports;
    this.#describe();
    this.#kernels.attach(this.#plan.control, 0);
  }

  async writeWeights(values: Int8Array): Promise<void> {
    checkValues(this.model, values);
    const words = new Int32Array(this.#memory.buffer);
    const bytes = new Int8Array(this.#memory.buffer);
    this.#plan.matrices.forEach(({ matrix, address, stride, wide }, index) => {
      const { offset, rows, columns } = matrix.weights;
      const more = wide ? 0 : 1; // trits are 0, 1, 2 there
      for (let row = 0; row < rows; row++) {
        const from = offset + row * columns;
        const to = address + row * stride;
        for (let column = 0; column < columns; column++) bytes[to + column] = values[from + column] + more;
      }
      const at = this.model.scales.offset + 2 * matrix.scale;
      words.set([values[at], values[at + 1]], this.#plan.matrixWords / 4 + index * MATRIX_WORDS + 4);
    });
  }

  loadWindows(bytes: Uint8Array, length: number): void {
    this.#guard.checkWindows(bytes, length);
    new Uint8Array(this.#memory.buffer).set(bytes, this.#plan.windows);
    this.#length = length;
    this.#windows = bytes.length / (length + 1);
    this.#setText('length', length);
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireWindows(this.#length);
    await this.#run(JOB_TEXT);
    return this.#evaluation();
  }

  async align(probes: TextProbes): Promise<Alignment<Int32Array>> {
    const rewardLimit = this.#guard.requireProbes(this.#windows, this.#length, probes);
    const { key, step, sigma, rewardShift, horizon } = probes;
    this.#setControl({
      ...{ key0: key[0], key1: key[1], step, probes: probes.probes, sigma, rewardShift, rewardLimit },
    });
    this.#setText('horizon', horizon);
    const { alignments, alignmentCount } = this.#plan;
    const all = new Int32Array(this.#memory.buffer, alignments, this.threads * alignmentCount).fill(0);
    await this.#run(JOB_TEXT_NODES);
    return { alignments: this.#alignments(all), evaluation: this.#evaluation() };
  }

  /** The sums of all threads, without what pads the rows. */
  #alignments(all: Int32Array): Int32Array {
    const { matrices, alignmentCount } = this.#plan;
    const sums = new Int32Array(this.model.parameters);
    for (let thread = 0; thread < this.threads; thread++) {
      for (const { matrix, address, stride } of matrices) {
        const { offset, rows, columns } = matrix.weights;
        const first = thread * alignmentCount + address - matrices[0].address;
        for (let row = 0; row < rows; row++) {
          const [from, to] = [first + row * stride, offset + row * columns];
          for (let column = 0; column < columns; column++) sums[to + column] += all[from + column];
        }
      }
    }
    return sums;
  }

  async #run(job: number): Promise<void> {
    this.restart();
    if (this.#windows > 1 && this.threads > 1) this.#helpers ??= await this.#startHelpers();
    this.#kernels.run(job, this.#windows, this.#helpers?.length ?? 0);
  }

  #evaluation(): Evaluation {
    const count = this.#windows * this.#length;
    const { losses, predictions } = this.#plan;
    return {
      losses: new Int32Array(this.#memory.buffer, losses, count).slice(),
      predictions: new Uint8Array(this.#memory.buffer, predictions, count).slice(),
    };
  }

  restart(): void {
    this.#position = 0;
  }

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, this.#position);
    this.#kernels.textNext(byte, this.#position);
    this.#position += 1;
    return new Int32Array(this.#memory.buffer, this.#plan.logits, VOCABULARY).slice();
  }

  async release(): Promise<void> {
    const helpers = this.#helpers ?? [];
    this.#helpers = [];
    await Promise.all(helpers.map((helper) => helper.stop()));
    this.onRelease();
  }

  #startHelpers(): Promise<Helper[]> {
    const { control } = this.#plan;
    const generation = new Int32Array(this.#memory.buffer)[control / 4];
    return Promise.all(
      Array.from({ length: this.threads - 1 }, (_, helper) =>
        this.host.startHelper({
          ...{ module: this.compiled.module, memory: this.#memory, control, thread: helper + 1, generation },
        }),
      ),
    );
  }

  /** Writes everything that stays: tables, shapes, addresses. */
  #describe(): void {
    const { model } = this;
    const plan = this.#plan;
    const words = new Int32Array(this.#memory.buffer);
    const halves = new Int16Array(this.#memory.buffer);
    words.set(EXP2, plan.exp2 / 4);
    words.set(LOG2, plan.log2 / 4);
    const { cosines, sines } = rotaryTables(model.headSize, model.context);
    halves.set(cosines, plan.cosines / 2);
    halves.set(sines, plan.sines / 2);
    halves.set(SOFTMAX, plan.softmax / 2);
    halves.set(SILU, plan.silu / 2);
    words.set(model.order, plan.order / 4);
    plan.matrices.forEach(({ matrix: { weights }, address, stride, wide }, index) => {
      const fields = [weights.rows, weights.columns, stride, address, 1, 1, wide ? 1 : 0];
      words.set(fields, plan.matrixWords / 4 + index * MATRIX_WORDS);
    });
    const control: Partial<Record<ControlField, number>> = {
      ...{ exp2: plan.exp2, log2: plan.log2, classes: VOCABULARY, logitScale: 1 },
      ...{ losses: plan.losses, predictions: plan.predictions, logits: plan.logits },
      ...{ scratch: plan.scratch, scratchStride: plan.scratchStride, text: plan.text },
    };
    this.#setControl(control);
    const { factor, range, shift } = softmaxScale(model.headSize, model.context);
    const { width, hidden, heads, keyHeads, headSize, headShift } = model;
    const text: Record<string, number> = {
      ...plan.strides,
      ...plan.offsets,
      ...{ width, hidden, heads, keyHeads, headSize, headShift, factor, range, shift },
      ...{ gain: rmsGain(width), valueBits: rmsValueBits(width) },
      ...{ applications: model.order.length, order: plan.order, matrices: plan.matrixWords },
      ...{ head: plan.matrices.length - 1, length: 0, windows: plan.windows },
      ...{
        cosines: plan.cosines,
        sines: plan.sines,
        softmax: plan.softmax,
        silu: plan.silu,
        caches: plan.caches,
        alignments: plan.alignments,
        alignmentCount: plan.alignmentCount,
        firstWeights: plan.matrices[0].address,
        horizon: 0,
      },
    };
    for (const field of TEXT) this.#setText(field, text[field] ?? 0);
  }

  #setControl(control: Partial<Record<ControlField, number>>): void {
    const words = new Int32Array(this.#memory.buffer);
    for (const [field, value] of Object.entries(control)) {
      words[this.#plan.control / 4 + CONTROL.indexOf(field as ControlField)] = value;
    }
  }

  #setText(field: string, value: number): void {
    new Int32Array(this.#memory.buffer)[this.#plan.text / 4 + (TEXT as readonly string[]).indexOf(field)] =
      value;
  }
}

/** Addresses, each on a cache line. */
function planText(model: Transformer, { windows, align = false }: TextRoom, threads: number) {
  let next = 64; // an address of 0 is none
  const take = (bytes: number): number => {
    const address = next;
    next = roundUp(address + bytes, 64);
    return address;
  };
  const { width, hidden, context, keyHeads, headSize, embed, layers, head } = model;
  const control = take(4 * CONTROL.length);
  const text = take(4 * TEXT.length);
  const scaled: ScaledMatrix[] = [embed, ...layers.flatMap((block) => Object.values(block)), head];
  const matrixWords = take(4 * MATRIX_WORDS * scaled.length);
  const matrices = scaled.map((matrix) => {
    const { rows, columns, values } = matrix.weights;
    const stride = roundUp(columns, 16);
    return { matrix, stride, wide: values !== 'trit', address: take(roundUp(rows, 4) * stride) };
  });
  const weightsEnd = next;
  const strides = {
    stride: roundUp(width, 16),
    hiddenStride: roundUp(hidden, 16),
    keyStride: roundUp(keyHeads * headSize, 16),
    zStride: roundUp(Math.max(VOCABULARY, width, hidden), 16),
  };
  const cacheBytes = context * strides.keyStride + 16; // a load of eight may reach past the last head
  const tables = {
    exp2: take(4 * EXP2.length),
    log2: take(4 * LOG2.length),
    cosines: take(context * headSize),
    sines: take(context * headSize),
    softmax: take(2 * SOFTMAX.length),
    silu: take(2 * SILU.length),
    order: take(4 * model.order.length),
  };
  const batch = {
    windows: take(windows * (context + 1)),
    losses: take(4 * windows * context),
    predictions: take(windows * context),
    logits: take(4 * VOCABULARY),
    caches: take(2 * model.order.length * roundUp(cacheBytes, 64)),
  };
  const alignmentCount = align ? weightsEnd - matrices[0].address : 0;
  const alignments = take(4 * threads * alignmentCount);
  const scratch = next;
  const own = (bytes: number) => take(bytes) - scratch;
  const offsets = {
    x: own(4 * context * strides.stride),
    n: own(context * strides.stride),
    z: own(4 * context * strides.zStride),
    z2: own(4 * context * strides.zStride),
    q: own(context * strides.stride),
    keys: own(cacheBytes),
    values: own(cacheBytes),
    mix: own(context * strides.stride),
    h: own(context * strides.hiddenStride),
    coarser: own(4 * context),
    weights: own(4 * context),
    sums: own(4 * roundUp(headSize, 16)),
    cacheBytes: roundUp(cacheBytes, 64),
    ...(align ? planKept(model, strides, own) : {}),
  };
  const scratchStride = next - scratch;
  const end = scratch + threads * scratchStride;
  return {
    control,
    text,
    matrixWords,
    matrices,
    strides,
    offsets,
    ...tables,
    ...batch,
    scratch,
    scratchStride,
    end,
    alignments,
    alignmentCount,
  };
}

/** Room for what node perturbation keeps of a pass, and for one site that it disturbs: offsets in a scratch. */
function planKept(
  { context, order }: Transformer,
  { stride, hiddenStride, keyStride, zStride }: Readonly<Record<string, number>>,
  own: (bytes: number) => number,
) {
  let keptStride = 0;
  const within = (bytes: number): number => {
    const offset = keptStride;
    keptStride = roundUp(offset + bytes, 64);
    return offset;
  };
  within(4 * context * stride); // the residual stream before the block
  const kept = {
    keptY: within(4 * context * stride),
    keptN: within(context * stride),
    keptN2: within(context * stride),
    keptQ: within(context * stride),
    keptKeys: within(context * keyStride),
    keptValues: within(context * keyStride),
    keptMix: within(context * stride),
    keptH: within(context * hiddenStride),
    keptCoarser: within(4 * context),
  };
  const halves = roundUp(context, 2) / 2;
  return {
    ...kept,
    keptStride,
    kept: own(order.length * keptStride),
    base: own(4 * context * zStride),
    other: own(4 * context * zStride),
    sizes: own(4 * context),
    signs: own(context * zStride),
    errors: own(2 * context * zStride),
    pairs: own(4 * halves * zStride),
    errorPairs: own(4 * zStride * halves),
    plus: own(4 * context),
    minus: own(4 * context),
    words: own(16),
  };
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
