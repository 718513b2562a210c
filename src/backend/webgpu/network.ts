/** A network on a device: the operations of the backend interface, each recorded and submitted as a whole. */

import type { DirectionSet } from '../../random/directions.js';
import { latentOf } from '../../random/latents.js';
import type { Key } from '../../random/philox.js';
import type { Network } from '../../ternary/builders/perceptron.js';
import type { Alignment, Evaluation, MemoryUse, Placed, Probes, Room } from '../backend.js';
import type { Batch } from '../batch.js';
import { Guard } from '../guard.js';
import type { DeviceBuffer, Region, WebgpuDevice } from './device.js';
import { recordForward, tilesOf } from './forward.js';
import { packLayer, unpackLayer } from './trits.js';
import { recordInit, recordPool, recordStep } from './updates.js';
import { Workspace } from './workspace.js';

export class WebgpuNetwork implements Placed {
  readonly batchMax: number;
  readonly #guard: Guard;
  readonly #space: Workspace;
  #batch = 0;
  #cut = 0;

  constructor(
    readonly device: WebgpuDevice,
    readonly network: Network,
    readonly room: Room,
    readonly onRelease: () => void,
  ) {
    device.check();
    this.#guard = new Guard(network, room);
    this.batchMax = room.batch;
    this.#space = new Workspace(device, network, room);
  }

  get graph(): Network {
    return this.network;
  }

  get memory(): MemoryUse {
    return this.#space.memory;
  }

  load(rowsOfBatch: Batch): void {
    const { inputs, labels } = rowsOfBatch;
    this.#guard.checkShape(rowsOfBatch);
    const { plan, inputs: rows, labels: marks } = this.#space;
    const batch = labels.length;
    const width = this.network.widths[0];
    const words = new Uint32Array(batch * plan.layers[0].depth * 4);
    const bytes = new Uint8Array(words.buffer);
    const stride = bytes.length / batch;
    if (stride === width) bytes.set(inputs);
    else {
      for (let row = 0; row < batch; row++) {
        bytes.set(inputs.subarray(row * width, (row + 1) * width), row * stride);
      }
    }
    const union = words.reduce((bits, word) => bits | word, 0);
    this.#guard.checkRange(((union >>> 24) | (union >>> 16) | (union >>> 8) | union) & 255);
    const padded = new Uint8Array(Math.ceil(batch / 4) * 4);
    padded.set(labels);
    this.device.write(rows, words);
    this.device.write(marks, padded);
    this.#batch = batch;
  }

  async evaluate(): Promise<Evaluation> {
    this.#guard.requireBatch(this.#batch);
    for (const tile of tilesOf(this.#space, this.#batch)) recordForward(this.#space, tile);
    this.#space.recorder.submit();
    return (await this.#results([])).evaluation;
  }

  async logits(): Promise<Int32Array> {
    this.#guard.requireBatch(this.#batch);
    const classes = this.network.widths.at(-1) as number;
    const { layers, recorder } = this.#space;
    const logits = new Int32Array(this.#batch * classes);
    const [from] = layers.slice(-1).map(({ z }) => z);
    for (const { first, rows } of tilesOf(this.#space, this.#batch)) {
      recordForward(this.#space, { first, rows });
      recorder.submit();
      const [part] = await this.device.fetch([{ from, bytes: rows * classes * 4 }]);
      logits.set(new Int32Array(part), first * classes);
    }
    return logits;
  }

  async writeWeights(values: Int8Array): Promise<void> {
    this.#guard.checkWeights(values);
    this.device.check();
    const { plan, weights, scales } = this.#space;
    const words = new Uint32Array(plan.weightWords);
    const rowScales = new Int32Array(plan.scaleCount);
    this.network.layers.forEach(({ weights: { offset, rows, columns }, scale }, index) => {
      const layer = plan.layers[index];
      packLayer(layer, values.subarray(offset, offset + rows * columns), words);
      if (scale) {
        rowScales.set(values.subarray(scale.offset, scale.offset + scale.rows), layer.scalesAt as number);
      }
    });
    this.device.write(weights, words);
    this.device.write(scales, rowScales);
  }

  async readWeights(): Promise<Int8Array> {
    const { plan, weights, scales } = this.#space;
    const [words, rowScales] = await this.device.fetch([
      { from: weights, bytes: plan.weightWords * 4 },
      { from: scales, bytes: plan.scaleCount * 4 },
    ]);
    const values = new Int8Array(this.network.parameters);
    this.network.layers.forEach(({ weights: { offset, rows, columns }, scale }, index) => {
      const layer = plan.layers[index];
      unpackLayer(layer, new Uint32Array(words), values.subarray(offset, offset + rows * columns));
      if (scale) {
        values.set(new Int32Array(rowScales, 4 * (layer.scalesAt as number), scale.rows), scale.offset);
      }
    });
    return values;
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireLatents();
    this.device.check();
    this.#cut = cut;
    recordInit(this.#space, key, cut);
    this.#space.recorder.submit();
  }

  async startLatents(trits: Int8Array, cut: number): Promise<void> {
    this.#guard.requireLatents();
    await this.writeWeights(trits);
    this.#cut = cut;
    const latents = new Int8Array(4 * this.#space.plan.latentWords);
    for (let i = 0; i < trits.length; i++) latents[i] = latentOf(trits[i], cut);
    this.device.write(this.#space.latents, latents);
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    this.device.check();
    const buffer = this.#arguments(coefficients);
    recordStep(this.#space, set, buffer, this.#cut);
    this.#space.recorder.submit();
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    this.device.check();
    const buffer = this.#arguments(coefficients);
    recordPool(this.#space, sets, buffer, this.#cut);
    this.#space.recorder.submit();
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.checkWeightsRoom(this.#batch);
    const sums = this.#space.growing('sums of directions', 8 * count);
    const { recordTrials } = await import('./trials.js'); // few pages train
    recordTrials(this.#space, this.#batch, set, first, count, sums);
    this.#space.recorder.submit();
    const {
      evaluation,
      extra: [bytes],
    } = await this.#results([{ from: sums, bytes: 8 * count }]);
    const words = new Int32Array(bytes);
    // The low word holds up to 2^16 sixteen-bit numbers, and is not negative.
    const alignments = Float64Array.from({ length: count }, (_, k) => {
      return words[2 * k + 1] * 65_536 + (words[2 * k] >>> 0);
    });
    return { alignments, evaluation };
  }

  async align(probes: Probes, sets?: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const limit = this.#guard.requireProbes(this.#batch, probes);
    if (sets) return this.#align(probes, limit, sets);
    const { alignEachWeight } = await import('../each-weight.js'); // training alone has a use for it
    return alignEachWeight(this.network, (single) => this.#align(probes, limit, single));
  }

  async #align(probes: Probes, limit: number, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    const count = sets.reduce((sum, set) => sum + set.directions, 0);
    const alignments = this.#space.growing('alignments', 4 * count);
    this.device.write(alignments, new Int32Array(count));
    const { recordNodes } = await import('./nodes.js'); // few pages train
    recordNodes(this.#space, this.#batch, probes, limit, sets, alignments);
    this.#space.recorder.submit();
    const {
      evaluation,
      extra: [bytes],
    } = await this.#results([{ from: alignments, bytes: 4 * count }]);
    return { alignments: new Int32Array(bytes), evaluation };
  }

  restart(): void {}

  async next(byte: number): Promise<Int32Array> {
    this.#guard.checkNext(byte, 0);
    throw new TypeError('the guard refuses a byte where rows are examples');
  }

  async release(): Promise<void> {
    this.#space.release();
    this.onRelease();
  }

  /** The evaluation of the batch, and what else is wanted, when all that was submitted is done. */
  async #results(wanted: readonly Region[]): Promise<{ evaluation: Evaluation; extra: ArrayBuffer[] }> {
    const { losses, predictions } = this.#space;
    const bytes = 4 * this.#batch;
    const [lossBytes, guesses, ...extra] = await this.device.fetch([
      { from: losses, bytes },
      { from: predictions, bytes },
      ...wanted,
    ]);
    const evaluation = {
      losses: new Int32Array(lossBytes),
      predictions: Uint8Array.from(new Uint32Array(guesses)),
    };
    return { evaluation, extra };
  }

  /** Coefficients on the device; they stay until the next ones come. */
  #arguments(values: Int8Array | Int16Array): DeviceBuffer {
    const bytes = new Uint8Array(Math.ceil(values.byteLength / 4) * 4);
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    const buffer = this.#space.growing('coefficients', bytes.length);
    this.device.write(buffer, bytes);
    return buffer;
  }
}
