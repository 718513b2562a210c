/**
 * The CPU backend: AssemblyScript kernels with 128-bit SIMD on threads over one shared memory. Prefer it over
 * `reference` for everything but definitions.
 */

import { BackendError } from '../../errors.js';
import { encodersOf, isOfLayers } from '../../ops/instructions.js';
import type { Graph } from '../../ternary/graph.js';
import type { Backend, Placed, Room } from '../backend.js';
import { PlacedInTurns } from '../in-turns.js';
import type { SimdChoice } from '../names.js';
import { type Platform, platform } from '../platform/platform.js';
import { type Kernels, type KernelSet, loadKernels } from './kernels.js';
import { WasmPlaced } from './placed.js';
import { SharedModel } from './shared-model.js';

export interface WasmOptions {
  /** Threads in all, the caller's among them; ≥ 1. */
  readonly threads: number;
  readonly simd?: SimdChoice;
  /** Ends the backend's summary. */
  readonly note?: string;
}

/**
 * Compiles the kernels for this engine.
 * @throws {BackendError} when the engine cannot run them, or so many threads
 * @example const backend = await openWasm({ threads: 2 });
 */
export async function openWasm({ threads, simd = 'auto', note }: WasmOptions): Promise<Backend> {
  const host = (await platform()).platform;
  if (threads > 1 && host.threadsFault !== null) {
    throw new BackendError(`"threads" expected 1, got ${threads}: ${host.threadsFault}`);
  }
  return new WasmBackend(host, await loadKernels('layers', simd), threads, simd, note);
}

class WasmBackend implements Backend {
  readonly name = 'wasm';
  readonly summary: string;
  readonly #placed = new Set<{ release(): Promise<void> }>();
  readonly #kernels = new Map<KernelSet, Kernels>();

  constructor(
    readonly host: Platform,
    layers: Kernels,
    readonly threads: number,
    readonly simd: SimdChoice,
    note?: string,
  ) {
    this.#kernels.set('layers', layers);
    const found = layers.relaxed ? 'relaxed SIMD' : 'SIMD';
    this.summary = `wasm, ${found}, ${threads} thread${threads === 1 ? '' : 's'}${note === undefined ? '' : `, ${note}`}`;
  }

  async place(graph: Graph, room: Room): Promise<Placed> {
    const trains = room.probes !== undefined || room.weights === true;
    const estimators = trains ? await import('./estimators.js') : null;
    const model = new SharedModel(
      ...([this.host, await this.#load(kernelSetOf(graph, trains)), graph, await encodersOf(graph)] as const),
      ...([room, this.threads, estimators?.trainingPlan ?? null] as const),
    );
    const onRelease = () => this.#placed.delete(placed);
    const placed = new PlacedInTurns(new WasmPlaced(model, room, estimators, onRelease), room);
    this.#placed.add(placed);
    return placed;
  }

  /** A set of kernels, compiled once. */
  async #load(set: KernelSet): Promise<Kernels> {
    const kernels = this.#kernels.get(set) ?? (await loadKernels(set, this.simd));
    this.#kernels.set(set, kernels);
    return kernels;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#placed].map((placed) => placed.release()));
  }
}

/** The smallest set of kernels that has what a model needs. */
function kernelSetOf(graph: Graph, trains: boolean): KernelSet {
  if (isOfLayers(graph)) return trains ? 'layers-training' : 'layers';
  if (graph.slots.some(({ kind }) => kind === 'u7')) return 'all';
  return trains ? 'signed-training' : 'signed';
}
