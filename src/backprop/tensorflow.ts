/**
 * TensorFlow.js backends by name. Each is loaded when it is asked for: the CPU ones are
 * optional dependencies of ternseed, the GPU ones optional peers that a user adds.
 */

import { loadOptional } from '../backend/optional-package.js';
import { platform } from '../backend/platform/platform.js';
import { describeAdapter, findAdapter } from '../backend/webgpu/adapter.js';
import { BackendError, expected, printable } from '../errors.js';

/** The names that `--backend` takes with `--method ste`. */
export const TENSORFLOW_BACKENDS = ['auto', 'wasm', 'webgpu', 'cpu', 'tensorflow', 'tensorflow-gpu'] as const;
export type TensorflowChoice = (typeof TENSORFLOW_BACKENDS)[number];

/** A TensorFlow.js backend that is ready, and how to end it. */
export interface TensorflowBackend {
  readonly name: Exclude<TensorflowChoice, 'auto'>;
  /** For people: `tfjs wasm, fused kernels with relaxed SIMD`. */
  readonly summary: string;
  /** Frees the device, so that the process can end. */
  close(): Promise<void>;
}

/** The version of TensorFlow.js that ternseed is tested with; all its packages must have the same. */
const VERSION = '4.22.0';

/**
 * Opens a TensorFlow.js backend and makes it the current one.
 * @param choice - `auto` takes wasm
 * @throws {BackendError} when a package is missing or the device cannot be used, with what to install
 * @example const backend = await openTensorflow('wasm');
 */
export async function openTensorflow(choice: TensorflowChoice): Promise<TensorflowBackend> {
  switch (choice) {
    case 'auto':
    case 'wasm':
      return openWasm();
    case 'cpu':
      return openCpu();
    case 'webgpu':
      return openWebgpu();
    case 'tensorflow':
      return openNative(
        'tensorflow',
        '@tensorflow/tfjs-node',
        'it downloads libtensorflow while it is installed',
      );
    case 'tensorflow-gpu':
      return openNative(
        'tensorflow-gpu',
        '@tensorflow/tfjs-node-gpu',
        'it needs CUDA 11.2 with cuDNN 8.1 on Linux, and downloads libtensorflow while it is installed',
      );
    default:
      throw expected('backend', TENSORFLOW_BACKENDS.join(', '), choice satisfies never);
  }
}

async function openWasm(): Promise<TensorflowBackend> {
  const core = await load('wasm', '@tensorflow/tfjs-core', () => import('@tensorflow/tfjs-core'));
  await load('wasm', '@tensorflow/tfjs-backend-wasm', () => import('@tensorflow/tfjs-backend-wasm'));
  await select(core, 'wasm', 'wasm');
  const { registerFusedKernels } = await import('./kernels/wasm.js');
  const kernels = await registerFusedKernels();
  return { name: 'wasm', summary: `tfjs wasm, ${kernels}`, async close() {} };
}

async function openCpu(): Promise<TensorflowBackend> {
  const core = await load('cpu', '@tensorflow/tfjs-core', () => import('@tensorflow/tfjs-core'));
  await load('cpu', '@tensorflow/tfjs-backend-cpu', () => import('@tensorflow/tfjs-backend-cpu'));
  await select(core, 'cpu', 'cpu');
  return { name: 'cpu', summary: 'tfjs cpu, plain JavaScript', async close() {} };
}

/** How to make TensorFlow.js's webgpu backend anew: its package registers it only once. */
let webgpuFactory: ReturnType<(typeof import('@tensorflow/tfjs-core'))['findBackendFactory']> | undefined;

async function openWebgpu(): Promise<TensorflowBackend> {
  const core = await load('webgpu', '@tensorflow/tfjs-core', () => import('@tensorflow/tfjs-core'));
  await (await platform()).platform.provideNavigatorGpu(); // where TensorFlow.js looks for it
  await load('webgpu', '@tensorflow/tfjs-backend-webgpu', () => import('@tensorflow/tfjs-backend-webgpu'));
  const { name } = describeAdapter(navigator.gpu, await findAdapter(navigator.gpu));
  webgpuFactory ??= core.findBackendFactory('webgpu');
  if (!core.findBackendFactory('webgpu')) core.registerBackend('webgpu', webgpuFactory); // it was closed before
  await select(core, 'webgpu', 'webgpu');
  (await import('./kernels/webgpu.js')).registerWebgpuKernels();
  return {
    name: 'webgpu',
    summary: `tfjs webgpu, ${name}`,
    async close() {
      core.removeBackend('webgpu'); // destroys the device: Dawn's threads keep the process alive
    },
  };
}

async function openNative(
  name: 'tensorflow' | 'tensorflow-gpu',
  packageName: string,
  wants: string,
): Promise<TensorflowBackend> {
  const core = await load(name, '@tensorflow/tfjs-core', () => import('@tensorflow/tfjs-core'));
  // The name is not a literal: neither the compiler nor a bundler may want the package.
  await load(name, packageName, () => import(packageName), wants);
  await select(core, 'tensorflow', name);
  return { name, summary: `tfjs ${name}, ${packageName}`, async close() {} };
}

/** Loads a package of TensorFlow.js, all of which must have one version. */
function load<Module>(
  backend: string,
  packageName: string,
  load: () => Promise<Module>,
  wants?: string,
): Promise<Module> {
  return loadOptional(backend, packageName, load, { version: VERSION, ...(wants && { wants }) });
}

async function select(core: typeof import('@tensorflow/tfjs-core'), id: string, name: string): Promise<void> {
  core.enableProdMode(); // neither checks of shapes that are known to fit, nor advertisements
  let reason = 'no reason given';
  const before = processListeners();
  const ready = await core.setBackend(id).catch((error: Error) => {
    reason = error.message;
    return false;
  });
  removeEmscriptenListeners(before);
  if (!ready) {
    throw new BackendError(`the ${name} backend of TensorFlow.js could not be started: ${printable(reason)}`);
  }
}

/** Events of a Node process that Emscripten, which made TensorFlow.js's wasm, listens to. */
const PROCESS_EVENTS = ['uncaughtException', 'unhandledRejection'] as const;
type ProcessListeners = ReadonlyMap<(typeof PROCESS_EVENTS)[number], readonly unknown[]>;

/** Who listens to the process now; nobody in a browser. */
function processListeners(): ProcessListeners {
  if (typeof process === 'undefined') return new Map();
  return new Map(PROCESS_EVENTS.map((event) => [event, process.rawListeners(event)]));
}

/**
 * Removes the listeners that Emscripten added while it started. They serve an exit of a main program, which
 * TensorFlow.js has none of, and throw everything else again: an application's own exceptions would end with code 7
 * and the place where they were thrown again. What the application added meanwhile stays.
 */
function removeEmscriptenListeners(before: ProcessListeners): void {
  for (const [event, listeners] of before) {
    for (const listener of process.rawListeners(event) as ((...reason: unknown[]) => void)[]) {
      const isNew = !listeners.includes(listener);
      if (isNew && EMSCRIPTEN_LISTENER.test(String(listener))) process.removeListener(event, listener);
    }
  }
}

/** `(ex) => { if (!(ex instanceof ExitStatus)) throw ex; }` and `(reason) => { throw reason; }`, however they are written. */
const EMSCRIPTEN_LISTENER = /\binstanceof ExitStatus\b|^function ?\((\w+)\) ?\{ ?throw \1;? ?\}$/;
