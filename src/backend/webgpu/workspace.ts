/** The buffers of a placed network and the kernels made for its shape: what all of its operations share. */

import type { Network } from '../../ternary/builders/perceptron.js';
import type { MemoryUse, Room } from '../backend.js';
import type { DeviceBuffer, WebgpuDevice } from './device.js';
import { lossTables } from './kernels/loss.js';
import { type NetworkPlan, planNetwork } from './plan.js';
import { Recorder } from './recorder.js';

/** What a buffer is for, as `memory` tells it. */
type Purpose = keyof MemoryUse;

/** A layer's results for the examples of one tile. */
interface LayerBuffers {
  /** [tile, M] pre-activations. */
  readonly z: DeviceBuffer;
  /** [tile] mean absolute values. */
  readonly scales: DeviceBuffer;
  /** [tile, outputWords] activations. */
  readonly x: DeviceBuffer;
}

/** Of a layer that `nodes` aligns: a batch of its errors and inputs, transposed, an example a byte. */
interface TransposedBuffers {
  /** [M, batchStride] δ̂ mod 256. */
  readonly errorsLow: DeviceBuffer;
  /** [M, batchStride] ⌊δ̂ / 256⌋. */
  readonly errorsHigh: DeviceBuffer;
  /** [N, batchStride]. */
  readonly inputs: DeviceBuffer;
}

export class Workspace {
  readonly plan: NetworkPlan;
  readonly recorder: Recorder;
  readonly weights: DeviceBuffer;
  /** Of rows. */
  readonly scales: DeviceBuffer;
  readonly latents: DeviceBuffer;
  readonly tables: DeviceBuffer;
  readonly inputs: DeviceBuffer;
  readonly labels: DeviceBuffer;
  /** [batch]. */
  readonly losses: DeviceBuffer;
  readonly predictions: DeviceBuffer;
  /** [tile] exponent of the largest logit and sum of the softmax. */
  readonly softmax: DeviceBuffer;
  readonly layers: readonly LayerBuffers[];
  /** Disturbed copies of examples: pre-activations, activations of two layers in turn, losses. */
  readonly copyZ: DeviceBuffer;
  readonly copyX: readonly [DeviceBuffer, DeviceBuffer];
  readonly copyLosses: DeviceBuffer;
  /** Written, and not read. */
  readonly copyScales: DeviceBuffer;
  /** [tile, M] signs of 16 probes of a layer. */
  readonly signs: DeviceBuffer;
  /** [tile, probes]. */
  readonly rewards: DeviceBuffer;
  readonly transposed: readonly TransposedBuffers[];
  readonly #use: Record<Purpose, number> = { weights: 0, latents: 0, batch: 0, work: 0 };
  readonly #buffers = new Map<DeviceBuffer, Purpose>();
  readonly #growing = new Map<string, DeviceBuffer>();
  readonly #kernels = new Map<string, unknown>();

  constructor(
    readonly device: WebgpuDevice,
    readonly network: Network,
    room: Room,
  ) {
    const plan = planNetwork(network, room, device.workBytes);
    this.plan = plan;
    this.recorder = new Recorder(device);
    try {
      const words = (purpose: Purpose, label: string, count: number) => this.#take(purpose, label, 4 * count);
      this.weights = words('weights', 'weights', plan.weightWords);
      this.scales = words('weights', 'scales of rows', plan.scaleCount);
      this.latents = words('latents', 'latents', plan.latentWords);
      const tables = lossTables();
      this.tables = words('work', 'tables', tables.length);
      device.write(this.tables, tables);
      this.inputs = words('batch', 'inputs', plan.batchStride * plan.layers[0].depth * 4);
      this.labels = words('batch', 'labels', plan.batchStride / 4);
      this.losses = words('batch', 'losses', plan.batchStride);
      this.predictions = words('batch', 'predictions', plan.batchStride);
      this.softmax = words('work', 'softmax sums', 2 * plan.tile);
      this.layers = plan.layers.map(({ units, outputWords }, index) => ({
        z: words('work', `pre-activations of layer ${index}`, plan.tile * units),
        scales: words('work', `scales of layer ${index}`, plan.tile),
        x: words('work', `activations of layer ${index}`, plan.tile * outputWords),
      }));
      const copyWords = plan.copies * plan.widestWords;
      this.copyZ = words('work', 'pre-activations of copies', plan.copies * plan.widest);
      this.copyX = [
        words('work', 'activations of copies', copyWords),
        words('work', 'activations of copies', copyWords),
      ];
      this.copyLosses = words('work', 'losses of copies', plan.copies);
      this.copyScales = words('work', 'scales of copies', plan.copies);
      this.signs = words('work', 'signs of probes', plan.probes && plan.tile * plan.widestHidden);
      this.rewards = words('work', 'rewards', plan.tile * plan.probes);
      this.transposed = plan.layers.map(({ units, inputs }, index) => {
        const stride = plan.probes && plan.batchStride / 4;
        return {
          errorsLow: words('batch', `errors of layer ${index}`, units * stride),
          errorsHigh: words('batch', `errors of layer ${index}`, units * stride),
          inputs: words('batch', `inputs of layer ${index}`, inputs * stride),
        };
      });
    } catch (error) {
      this.release();
      throw error;
    }
  }

  get memory(): MemoryUse {
    return { ...this.#use, work: this.#use.work + this.recorder.bytes };
  }

  /** Words of an activation row that layer `index` reads. */
  inputOf(index: number): DeviceBuffer {
    return index === 0 ? this.inputs : this.layers[index - 1].x;
  }

  /** A buffer of at least so many bytes; what it held is lost when it grows. */
  growing(label: string, bytes: number): DeviceBuffer {
    const old = this.#growing.get(label);
    if (old && old.bytes >= bytes) return old;
    if (old) {
      this.recorder.submit(); // those who read it
      this.#give(old);
      this.recorder.forget();
    }
    const grown = this.#take('work', label, bytes);
    this.#growing.set(label, grown);
    return grown;
  }

  /** The kernel of a name and a variant, made when it is first needed. */
  kernel<Made>(name: string, make: () => Made): Made {
    const made = (this.#kernels.get(name) as Made | undefined) ?? make();
    this.#kernels.set(name, made);
    return made;
  }

  release(): void {
    for (const buffer of [...this.#buffers.keys()]) this.#give(buffer);
    this.recorder.release();
  }

  #take(purpose: Purpose, label: string, bytes: number): DeviceBuffer {
    const buffer = this.device.allocate(label, bytes);
    this.#buffers.set(buffer, purpose);
    this.#use[purpose] += buffer.bytes;
    return buffer;
  }

  #give(buffer: DeviceBuffer): void {
    this.#use[this.#buffers.get(buffer) as Purpose] -= buffer.bytes;
    this.#buffers.delete(buffer);
    this.device.free(buffer);
  }
}
