/**
 * The GPU backend: WGSL kernels on the fastest adapter there is. This folder plans device memory from a program,
 * records its operations by their recipes in src/ops, and brings results back; kernels/ has what operations share.
 * Weights, latents, activations and errors stay on the device.
 */

import { recipesOf } from '../../ops/webgpu.js';
import type { Graph } from '../../ternary/graph.js';
import type { Backend, Placed, Room } from '../backend.js';
import { PlacedInTurns } from '../in-turns.js';
import { WebgpuDevice, type WebgpuOptions } from './device.js';
import { WebgpuPlaced } from './placed.js';

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
    // Few pages train.
    const nodes = room.probes === undefined ? null : await import('./nodes.js');
    const trials = room.weights ? await import('./trials.js') : null;
    const recipes = await recipesOf(graph);
    const onRelease = () => this.#placed.delete(placed);
    const model = new WebgpuPlaced(this.device, graph, room, recipes, { nodes, trials }, onRelease);
    const placed = new PlacedInTurns(model, room);
    this.#placed.add(placed);
    return placed;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#placed].map((placed) => placed.release()));
    this.device.destroy();
  }
}
