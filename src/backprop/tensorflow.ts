/**
 * TensorFlow.js backends by name. Each is loaded when it is asked for: the CPU ones are
 * optional dependencies of ternseed, the GPU ones optional peers that a user adds.
 */

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
        'it wants CUDA 11.2 with cuDNN 8.1 on Linux, and downloads libtensorflow while it is installed',
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
  await provideWebgpu();
  await load('webgpu', '@tensorflow/tfjs-backend-webgpu', () => import('@tensorflow/tfjs-backend-webgpu'));
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) {
    throw new BackendError(
      'the webgpu backend expected a GPU adapter, got none: install a Vulkan, Metal or D3D12 driver, or use "--backend wasm"',
    );
  }
  webgpuFactory ??= core.findBackendFactory('webgpu');
  if (!core.findBackendFactory('webgpu')) core.registerBackend('webgpu', webgpuFactory); // it was closed before
  await select(core, 'webgpu', 'webgpu');
  const { vendor, architecture, device, description } = adapter.info;
  const label = [description || device || vendor, architecture].filter(Boolean).join(' ');
  return {
    name: 'webgpu',
    summary: `tfjs webgpu, ${printable(label || 'unnamed adapter')}`,
    async close() {
      core.removeBackend('webgpu'); // destroys the device: Dawn's threads keep the process alive
    },
  };
}

/** Gives Node the `navigator.gpu` that browsers have. */
async function provideWebgpu(): Promise<void> {
  if (globalThis.navigator?.gpu) return;
  const { create, globals } = await load('webgpu', 'webgpu', () => import('webgpu'));
  Object.assign(globalThis, globals);
  const gpu = create([]);
  if (globalThis.navigator) Object.defineProperty(globalThis.navigator, 'gpu', { value: gpu });
  else Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' } });
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

/** Loads a package; one that is missing or does not start is an error that says what to do. */
async function load<Module>(
  backend: string,
  packageName: string,
  load: () => Promise<Module>,
  wants?: string,
): Promise<Module> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const missing = code === 'ERR_MODULE_NOT_FOUND' || code === 'MODULE_NOT_FOUND';
    const version = packageName.startsWith('@tensorflow/') ? `@${VERSION}` : '';
    const remedy = `\`npm install ${packageName}${version}\`${wants ? ` (${wants})` : ''}`;
    throw new BackendError(
      missing
        ? `the ${backend} backend expected the package "${packageName}", got none installed: ${remedy}`
        : `the ${backend} backend expected "${packageName}" to start, got ${printable(message)}: try ${remedy}`,
      { cause },
    );
  }
}

async function select(core: typeof import('@tensorflow/tfjs-core'), id: string, name: string): Promise<void> {
  core.enableProdMode(); // neither checks of shapes that are known to fit, nor advertisements
  let reason = 'no reason given';
  const ready = await core.setBackend(id).catch((error: Error) => {
    reason = error.message;
    return false;
  });
  if (!ready) {
    throw new BackendError(`the ${name} backend of TensorFlow.js could not be started: ${printable(reason)}`);
  }
}
