/**
 * The fused kernels for TensorFlow.js's wasm backend: AssemblyScript over that backend's own
 * memory, so that tensors are read and written where they are. One thread, as tfjs-wasm is in Node.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { SimdChoice } from '../../backend/names.js';
import { compileKernels } from '../../backend/wasm/kernels.js';
import { FUSED, type FusedKernel, type FusedName } from './fused.js';
import { kernels } from './kernels.generated.js';
import {
  type Attributes,
  type Inputs,
  type KernelMemory,
  takesSizes,
  type SignedExports,
  signedKernels,
} from './wasm-signed.js';

/** What assembly/index.ts exports; addresses are bytes, lengths elements. */
interface Exports extends SignedExports {
  gemmScratch(depth: number, rows: number): number;
  gemm(
    p: number,
    transposed: number,
    r: number,
    depth: number,
    rows: number,
    columns: number,
    c: number,
    scratch: number,
  ): void;
  linearScratch(inputs: number, outputs: number): number;
  linear(
    x: number,
    q: number,
    batch: number,
    inputs: number,
    outputs: number,
    wide: number,
    z: number,
    scratch: number,
  ): void;
  normalize(z: number, batch: number, units: number, centred: number, gain: number, q: number): void;
  normalizeGradient(
    dq: number,
    z: number,
    q: number,
    batch: number,
    units: number,
    centred: number,
    gain: number,
    dz: number,
  ): void;
  ternarize(w: number, length: number, factor: number, rms: number, q: number): void;
  expandPool(
    c: number,
    direction: number,
    sign: number,
    initial: number,
    length: number,
    cut: number,
    q: number,
  ): void;
  poolGradient(
    dq: number,
    direction: number,
    sign: number,
    length: number,
    dc: number,
    directions: number,
  ): void;
  adamw(w: number, g: number, m: number, v: number, length: number, ...factors: number[]): void;
}

/** The parts of tfjs-wasm's backend that the kernels use; `wasm` is its Emscripten module. */
interface TfjsWasm extends tf.KernelBackend {
  readonly wasm: { readonly asm?: { readonly memory?: WebAssembly.Memory } };
  readonly dataIdMap: { get(dataId: tf.DataId): { readonly memoryOffset: number } };
  makeOutput(shape: number[], dtype: tf.DataType): tf.TensorInfo;
}

/**
 * Registers the kernels with the current backend, tfjs-wasm, once.
 * @returns what it did, for people
 */
export async function registerFusedKernels(simd: SimdChoice = 'auto'): Promise<string> {
  const backend = tf.backend() as TfjsWasm;
  const memory = backend.wasm.asm?.memory;
  // A memory that threads share has another type; there TensorFlow.js's own kernels serve.
  if (!memory || !(memory.buffer instanceof ArrayBuffer)) return 'without fused kernels';
  const { module, relaxed } = await compileKernels(kernels, simd);
  const instance = new WebAssembly.Instance(module, { env: { memory, abort() {} } });
  const exports = instance.exports as unknown as Exports;
  const shared = memoryOf(backend);
  const runs = { ...kernelsOf(shared, exports), ...signedKernels(shared, exports) };
  for (const [kernelName, run] of Object.entries(runs)) {
    if (tf.getKernel(kernelName, 'wasm')) tf.unregisterKernel(kernelName, 'wasm');
    const takes = takesSizes(kernelName as FusedName);
    const kernel: FusedKernel = {
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) => run(inputs as Inputs, attrs as unknown as Attributes),
      ...(takes && { takes }),
    };
    tf.registerKernel(kernel);
  }
  return `fused kernels with ${relaxed ? 'relaxed SIMD' : 'SIMD'}`;
}

function memoryOf(backend: TfjsWasm): KernelMemory {
  const at = ({ dataId }: tf.TensorInfo) => backend.dataIdMap.get(dataId).memoryOffset;
  const output = (...shape: number[]) => backend.makeOutput(shape, 'float32');
  const sizeOf = ({ shape }: tf.TensorInfo) => shape.reduce((product, dimension) => product * dimension, 1);
  const withScratch = (bytes: number, run: (scratch: number) => void) => {
    const scratch = output(Math.ceil(bytes / 4));
    run(at(scratch));
    backend.disposeData(scratch.dataId);
  };
  return { at, output, sizeOf, withScratch };
}

function kernelsOf(
  { at, output, sizeOf, withScratch }: KernelMemory,
  exports: Exports,
): Record<string, (inputs: Inputs, attributes: Attributes) => tf.TensorInfo | tf.TensorInfo[]> {
  /** C[rows, columns] = Σ_k P[k, row] · R[k, column]. */
  function multiply(p: tf.TensorInfo, transposed: boolean, r: tf.TensorInfo, rows: number): tf.TensorInfo {
    const [depth, columns] = r.shape;
    const c = output(rows, columns);
    withScratch(exports.gemmScratch(depth, rows), (scratch) => {
      exports.gemm(at(p), transposed ? 1 : 0, at(r), depth, rows, columns, at(c), scratch);
    });
    return c;
  }

  return {
    [FUSED.linear]: ({ x, q }, { wide }) => {
      const [batch, inputs] = x.shape;
      const [outputs] = q.shape;
      const z = output(batch, outputs);
      withScratch(exports.linearScratch(inputs, outputs), (scratch) => {
        exports.linear(at(x), at(q), batch, inputs, outputs, wide, at(z), scratch);
      });
      return z;
    },
    [FUSED.weightGradient]: ({ dz, x }) => multiply(dz, false, x, dz.shape[1]),
    [FUSED.inputGradient]: ({ dz, q }) => multiply(dz, true, q, dz.shape[0]),
    [FUSED.normalize]: ({ z }, { centred, gain }) => {
      const [batch, units] = z.shape;
      const q = output(batch, units);
      exports.normalize(at(z), batch, units, centred, gain, at(q));
      return q;
    },
    [FUSED.normalizeGradient]: ({ dq, z, q }, { centred, gain }) => {
      const [batch, units] = z.shape;
      const dz = output(batch, units);
      exports.normalizeGradient(at(dq), at(z), at(q), batch, units, centred, gain, at(dz));
      return dz;
    },
    [FUSED.ternarize]: ({ w }, { factor, rms }) => {
      const q = output(...w.shape);
      exports.ternarize(at(w), sizeOf(w), factor, rms, at(q));
      return q;
    },
    [FUSED.expandPool]: ({ c, direction, sign, initial }, { cut }) => {
      const q = output(...initial.shape);
      exports.expandPool(at(c), at(direction), at(sign), at(initial), sizeOf(initial), cut, at(q));
      return q;
    },
    [FUSED.poolGradient]: ({ dq, direction, sign }, { directions }) => {
      const dc = output(directions);
      exports.poolGradient(at(dq), at(direction), at(sign), sizeOf(dq), at(dc), directions);
      return dc;
    },
    [FUSED.adamw]: ({ w, g, m, v }, attributes) => {
      const { beta1, beta2, complement1, complement2 } = attributes;
      const { rate, correction2, keep, epsilon, limit } = attributes;
      const factors = [beta1, complement1, beta2, complement2, rate, correction2, keep, epsilon, limit];
      exports.adamw(at(w), at(g), at(m), at(v), sizeOf(w), ...factors);
      return [];
    },
  };
}
