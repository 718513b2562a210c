/**
 * The GPU backend: WGSL kernels made for the shape at hand, on the fastest adapter there is. This
 * folder plans device memory, records dispatches and brings results back; kernels/ has all the
 * arithmetic. Weights, latents, activations and errors stay on the device.
 */

import type { Graph } from '../../ternary/graph.js';
import type { Network } from '../../ternary/builders/perceptron.js';
import type { Transformer } from '../../ternary/builders/transformer.js';
import type { Backend, Placed, Room } from '../backend.js';
import { PlacedInTurns } from '../in-turns.js';
import { WebgpuDevice, type WebgpuOptions } from './device.js';
import { WebgpuNetwork } from './network.js';

export type { WebgpuOptions } from './device.js';

/**
 * Opens the fastest adapter, in Node through the optional package `webgpu`.
 * @param options - leave out what the device has; results are the same
 * @throws {BackendError} when there is no adapter or no package, with what to install
 * @example
 * const backend = await openWebgpu();
 * await backend.close(); // a process does not end before
 */
export async function openWebgpu(options: WebgpuOptions = {}): Promise<WebgpuBackend> {
  return new WebgpuBackend(await WebgpuDevice.open(options), options.note);
}

export class WebgpuBackend implements Backend {
  readonly name = 'webgpu';
  readonly summary: string;
  readonly #placed = new Set<{ release(): Promise<void> }>();

  constructor(
    readonly device: WebgpuDevice,
    note?: string,
  ) {
    const { name, features } = device;
    this.summary = [
      ...['webgpu', name],
      ...(features.dot ? ['dot4I8Packed'] : []),
      ...(features.subgroups ? ['subgroups'] : []),
      ...(note === undefined ? [] : [note]),
    ].join(', ');
  }

  async place(graph: Graph, room: Room): Promise<Placed> {
    const onRelease = () => this.#placed.delete(placed);
    const placed = new PlacedInTurns(await this.#open(graph as Network | Transformer, room, onRelease), room);
    this.#placed.add(placed);
    return placed;
  }

  async #open(model: Network | Transformer, room: Room, onRelease: () => void): Promise<Placed> {
    if (model.architecture === 'perceptron') {
      return new WebgpuNetwork(this.device, model, room, onRelease);
    }
    const { WebgpuText } = await import('./text.js'); // few pages have a use for it
    const Aligner = room.probes === undefined ? null : (await import('./text-align.js')).TextAligner;
    return new WebgpuText(this.device, model, room, Aligner, onRelease);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#placed].map((placed) => placed.release()));
    this.device.destroy();
  }
}
