/** Node: worker threads, V8's flags, and WebGPU from the package `webgpu` (Dawn). */

import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { BackendError, printable } from '../../errors.js';
import { loadOptional } from '../optional-package.js';
import { HELPER_SCRIPT } from './helper-script.js';
import type { Helper, HelperStart, Platform } from './platform.js';

const script = `${HELPER_SCRIPT}
const { parentPort, workerData } = require('node:worker_threads');
start(workerData, () => parentPort.postMessage('ready'));`;

/** What a GPU's driver puts into the file system of Linux: DRM, NVIDIA's, AMD's, and Windows' beneath WSL. */
const LINUX_GPUS = ['/dev/dri', '/dev/nvidiactl', '/dev/kfd', '/dev/dxg'];

/** Dawn, one a process. */
let dawn: Promise<GPU> | undefined;

export const platform: Platform = {
  coreCount: availableParallelism,
  threadsFault: null,
  openFile: (path) => open(path, 'r'),

  /** Node 20 has it behind a flag, which can be set as long as nothing was compiled with it. */
  enableRelaxedSimd() {
    setFlagsFromString('--experimental-wasm-relaxed-simd');
  },

  async startHelper(start: HelperStart): Promise<Helper> {
    const worker = new Worker(script, { eval: true, workerData: start });
    const ended = new Promise<string>((resolve) => {
      worker.once('error', (error: Error) => resolve(String(error)));
      worker.once('exit', (code) => resolve(`exit code ${code}`));
    });
    const ready = new Promise<null>((resolve) => {
      worker.once('message', () => resolve(null));
    });
    const fault = await Promise.race([ready, ended]);
    if (fault !== null) throw new BackendError(`a worker thread could not be started: ${printable(fault)}`);
    worker.unref(); // the process may end while helpers wait
    return {
      ended,
      async stop() {
        await worker.terminate();
      },
    };
  },

  gpu(): Promise<GPU> {
    const gpu = globalThis.navigator?.gpu as GPU | undefined; // of a later Node, or given by the caller
    if (gpu) return Promise.resolve(gpu);
    dawn ??= loadOptional('webgpu', 'webgpu', () => import('webgpu')).then(({ create }) => create([]));
    return dawn;
  },

  async provideNavigatorGpu() {
    if (globalThis.navigator?.gpu) return;
    const gpu = await platform.gpu();
    const { globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    if (globalThis.navigator) Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu });
    else Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' } });
  },

  gpuFault() {
    if (process.platform === 'linux' && !LINUX_GPUS.some((path) => existsSync(path))) return 'no GPU here';
    try {
      import.meta.resolve('webgpu');
      return null;
    } catch {
      return 'the package "webgpu" is not installed';
    }
  },
};
