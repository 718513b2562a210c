/**
 * What `auto` takes: wasm, unless there is so much to do that looking for a GPU pays, and a trial
 * shows that the GPU is faster. The trial is a forward pass of a batch through a network of a
 * usual size, on both; it is made once a process.
 */

import { BackendError } from '../errors.js';
import { graphOf } from '../ternary/builders/index.js';
import type { Backend } from './backend.js';
import { platform } from './platform/platform.js';
import { openWasm } from './wasm/wasm.js';

/** Products of a weight and an activation from which `auto` looks for a GPU: seconds of work for wasm. */
export const PRODUCTS_FOR_TRIAL = 2 ** 38;

/** What came of the trial. */
export interface Verdict {
  readonly gpu: boolean;
  /** For the summary of the backend that is taken; none where there was nothing to try. */
  readonly note?: string;
}

/** By the threads of wasm. */
const verdicts = new Map<number, Promise<Verdict>>();

/**
 * Opens what suits the work.
 * @param threads - of wasm
 * @param products - see PRODUCTS_FOR_TRIAL
 */
export async function openAuto(threads: number, products: number): Promise<Backend> {
  if (!(products >= PRODUCTS_FOR_TRIAL) || (await platform()).platform.gpuFault() !== null) {
    return openWasm({ threads });
  }
  const verdict = verdicts.get(threads) ?? tryGpu(threads);
  verdicts.set(threads, verdict);
  const { gpu, ...note } = await verdict;
  if (!gpu) return openWasm({ threads, ...note });
  const { openWebgpu } = await import('./webgpu/webgpu.js');
  return openWebgpu(note);
}

/** Tries the GPU against wasm; one that cannot be used is a reason to take wasm, and is told. */
export async function tryGpu(threads: number): Promise<Verdict> {
  const { openWebgpu } = await import('./webgpu/webgpu.js');
  const wasm = await openWasm({ threads });
  try {
    const webgpu = await openWebgpu();
    try {
      // It computes on the same cores, only slower.
      if (webgpu.device.software) return { gpu: false, note: `the only GPU is ${webgpu.device.name}` };
      return verdictOf(await trialMs(wasm), await trialMs(webgpu), webgpu.device.name);
    } finally {
      await webgpu.close();
    }
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return { gpu: false, note: `no GPU taken: ${error.message}` };
  } finally {
    await wasm.close();
  }
}

/** @param name - of the GPU */
export function verdictOf(wasmMs: number, gpuMs: number, name: string): Verdict {
  const ratio = wasmMs / gpuMs;
  if (ratio > 1) return { gpu: true, note: `${ratio.toFixed(1)}× wasm in a trial` };
  return { gpu: false, note: `${(1 / ratio).toFixed(1)}× ${name} in a trial` };
}

/** Examples of the trial's batch, and how often it is run. */
const EXAMPLES = 2048;
const RUNS = 3;

/** Milliseconds of the forward pass of a batch: the best of some, after one that starts everything. */
export async function trialMs(backend: Backend): Promise<number> {
  const network = graphOf({ model: '784-256-128-10', centred: true, gain: 25, logitScale: 900 });
  const placed = await backend.place(network, { batch: EXAMPLES });
  try {
    await placed.writeWeights(Int8Array.from({ length: network.parameters }, (_, i) => ((i * 7919) % 3) - 1));
    const inputs = Uint8Array.from({ length: EXAMPLES * 784 }, (_, i) => (i * 31) & 127);
    placed.load({ inputs, labels: new Uint8Array(EXAMPLES), length: 1 });
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run <= RUNS; run++) {
      const started = performance.now();
      await placed.evaluate();
      if (run > 0) best = Math.min(best, performance.now() - started);
    }
    return best;
  } finally {
    await placed.release();
  }
}
