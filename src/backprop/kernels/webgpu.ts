/**
 * Forward kernels for TensorFlow.js's webgpu backend, whose own operations carry int32 through float32: past
 * 2^24 they are not exact, and the integer network's roundings go up to 2^30. These compute in i32, to the bit as
 * src/ternary does. Gradients are floats and stay composed.
 */

import * as tf from '@tensorflow/tfjs-core';
import { ACTIVATION_MAX } from '../../ternary/units.js';
import { RECIPROCAL_BITS } from '../../ops/normalize/op.js';
import { SCALE_BITS } from '../../ternary/precision.js';
import { FUSED } from './fused.js';

/** What TensorFlow.js's backend takes to run WGSL of ours; it declares the variables and the uniforms. */
interface Program {
  readonly variableNames: readonly string[];
  /** Declarations of fields, in the order of their values. */
  readonly uniforms: string;
  readonly outputShape: number[];
  readonly dispatchLayout: { readonly x: number[] };
  readonly dispatch: readonly [number, number, number];
  readonly workgroupSize: readonly [number, number, number];
  readonly shaderKey: string;
  getUserCode(): string;
}

interface TfjsWebgpu {
  runWebGPUProgram(
    program: Program,
    inputs: tf.TensorInfo[],
    dtype: tf.DataType,
    uniforms: { readonly type: 'int32'; readonly data: number[] }[],
  ): tf.TensorInfo;
}

const WORKGROUP = 64;

const ROUNDING = `
fn roundDiv(numerator : i32, divisor : i32) -> i32 {
  let half = divisor / 2;
  if (numerator < 0) { return -((half - numerator) / divisor); }
  return (numerator + half) / divisor;
}
fn roundShift(value : i32, shift : u32) -> i32 {
  if (shift == 0u) { return value; }
  let half = 1 << (shift - 1u);
  if (value < 0) { return -((half - value) >> shift); }
  return (value + half) >> shift;
}`;

/** A thread a row: q[B, M] from z[B, M]. */
const NORMALIZE = `${ROUNDING}
fn main(row : i32) {
  if (row >= uniforms.batch) { return; }
  let units = uniforms.units;
  let first = row * units;
  var sum = 0;
  for (var i = 0; i < units; i++) { sum += i32(Z[first + i]); }
  let mean = select(0, roundDiv(sum, units), uniforms.centred == 1);
  var absolute = 0;
  for (var i = 0; i < units; i++) { absolute += abs(i32(Z[first + i]) - mean); }
  let meanAbs = max(1, roundDiv(absolute, units));
  let reciprocal = roundDiv(uniforms.gain << ${RECIPROCAL_BITS}u, meanAbs);
  let limit = ${ACTIVATION_MAX} * meanAbs / uniforms.gain + 1;
  for (var i = 0; i < units; i++) {
    let deviation = clamp(i32(Z[first + i]) - mean, 0, limit);
    result[first + i] = f32(min(${ACTIVATION_MAX}, roundShift(deviation * reciprocal, ${RECIPROCAL_BITS}u)));
  }
}`;

/** A thread a value: sums[B, M] by the weights' fraction bits and the rows' scales. */
const RESCALE = `${ROUNDING}
fn main(index : i32) {
  if (index >= uniforms.batch * uniforms.units) { return; }
  var value = roundShift(i32(Sums[index]), u32(uniforms.shift));
  if (uniforms.scaled == 1) {
    value = roundShift(value * i32(Scales[index % uniforms.units]), ${SCALE_BITS}u);
  }
  result[index] = f32(value);
}`;

/** Registers the kernels with TensorFlow.js; again is harmless. */
export function registerWebgpuKernels(): void {
  register(FUSED.normalize, ({ z }, { centred, gain }) => ({
    ...{ inputs: [z], variableNames: ['Z'], code: NORMALIZE, threads: z.shape[0] },
    uniforms: { batch: z.shape[0], units: z.shape[1], gain: Number(gain), centred: centred ? 1 : 0 },
  }));
  register(FUSED.rescale, ({ sums, scales }, { shift, scaled }) => ({
    ...{ inputs: [sums, scales], variableNames: ['Sums', 'Scales'], code: RESCALE },
    threads: sums.shape[0] * sums.shape[1],
    uniforms: { batch: sums.shape[0], units: sums.shape[1], shift: Number(shift), scaled: scaled ? 1 : 0 },
  }));
}

interface Work {
  /** Float32; the first has the shape of the result. */
  readonly inputs: tf.TensorInfo[];
  readonly variableNames: string[];
  readonly code: string;
  readonly threads: number;
  readonly uniforms: Readonly<Record<string, number>>;
}

function register(
  kernelName: string,
  plan: (
    inputs: Record<string, tf.TensorInfo>,
    attributes: Readonly<Record<string, number | boolean>>,
  ) => Work,
): void {
  if (tf.getKernel(kernelName, 'webgpu')) return;
  tf.registerKernel({
    kernelName,
    backendName: 'webgpu',
    kernelFunc({ inputs, backend, attrs }) {
      const {
        inputs: tensors,
        variableNames,
        code,
        threads,
        uniforms,
      } = plan(
        inputs as Record<string, tf.TensorInfo>,
        (attrs ?? {}) as unknown as Record<string, number | boolean>,
      );
      const program: Program = {
        ...{ variableNames, outputShape: tensors[0].shape, dispatchLayout: { x: [0, 1] } },
        uniforms: Object.keys(uniforms)
          .map((name) => `${name} : i32,`)
          .join(' '),
        dispatch: [Math.ceil(threads / WORKGROUP), 1, 1],
        workgroupSize: [WORKGROUP, 1, 1],
        shaderKey: kernelName,
        getUserCode: () => code,
      };
      const values = Object.values(uniforms).map((value) => ({ type: 'int32' as const, data: [value] }));
      return (backend as unknown as TfjsWebgpu).runWebGPUProgram(program, tensors, 'float32', values);
    },
  });
}
