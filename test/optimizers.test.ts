/**
 * The optimizers of the ste trainer against plain float64 code, eigenvalues and hand calculations,
 * on TensorFlow.js's plain backend (composed) and on wasm (fused, in place).
 */

import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { FUSED } from '../src/backprop/kernels/fused.js';
import { AdamW } from '../src/backprop/optimizers/adamw.js';
import { Muon, orthogonalize } from '../src/backprop/optimizers/muon.js';
import { clipByGlobalNorm, type Optimizer, type Parameter } from '../src/backprop/optimizers/optimizer.js';
import { openTensorflow } from '../src/backprop/tensorflow.js';
import { gaussians } from './support/gaussians.js';

const OPTIONS = { beta1: 0.9, beta2: 0.95, momentum: 0.9 };
type Rows = number[][];

/** A parameter with memory of its own. */
function parameterOf(
  values: readonly number[],
  { shape = [values.length], decays = true, limit = Number.POSITIVE_INFINITY } = {},
): Parameter {
  const own = tf.tensor([...values], shape);
  const variable = tf.variable(own);
  own.dispose();
  return { name: variable.name, variable, decays, limit };
}

const valuesOf = ({ variable }: Parameter) => [...variable.dataSync()];

/** One step with such gradients. */
function step(
  optimizer: Optimizer,
  parameters: readonly Parameter[],
  gradients: readonly (readonly number[])[],
  learningRate: number,
  weightDecay = 0,
): void {
  tf.tidy(() => {
    const tensors = gradients.map((values, i) => tf.tensor([...values], parameters[i].variable.shape));
    optimizer.step(tensors, { learningRate, weightDecay });
  });
}

/** Loshchilov & Hutter's algorithm 2 in float64, clipped to ±limit. */
class PlainAdamW {
  #t = 0;
  readonly #m: number[];
  readonly #v: number[];

  constructor(
    readonly w: number[],
    readonly beta1: number,
    readonly beta2: number,
    readonly limit: number,
  ) {
    this.#m = w.map(() => 0);
    this.#v = w.map(() => 0);
  }

  step(gradient: readonly number[], rate: number, decay: number): void {
    this.#t += 1;
    gradient.forEach((g, i) => {
      this.#m[i] = this.beta1 * this.#m[i] + (1 - this.beta1) * g;
      this.#v[i] = this.beta2 * this.#v[i] + (1 - this.beta2) * g * g;
      const m = this.#m[i] / (1 - this.beta1 ** this.#t);
      const v = this.#v[i] / (1 - this.beta2 ** this.#t);
      const moved = this.w[i] - rate * decay * this.w[i] - (rate * m) / (Math.sqrt(v) + 1e-8);
      this.w[i] = Math.max(-this.limit, Math.min(this.limit, moved));
    });
  }
}

const rowsOf = (values: readonly number[], columns: number): Rows =>
  Array.from({ length: values.length / columns }, (_, r) => values.slice(r * columns, (r + 1) * columns));
const transpose = (a: Rows): Rows => a[0].map((_, c) => a.map((row) => row[c]));
const multiply = (a: Rows, b: Rows): Rows => {
  const columns = transpose(b);
  return a.map((row) => columns.map((column) => row.reduce((sum, value, k) => sum + value * column[k], 0)));
};
const combine = (f: (...values: number[]) => number, ...matrices: Rows[]): Rows =>
  matrices[0].map((row, r) => row.map((_, c) => f(...matrices.map((matrix) => matrix[r][c]))));

/** Singular values in ascending order: roots of the eigenvalues of the smaller A·Aᵀ, by Jacobi's rotations. */
function singularValues(matrix: Rows): number[] {
  const wide = matrix.length > matrix[0].length ? transpose(matrix) : matrix;
  const a = multiply(wide, transpose(wide));
  for (let sweep = 0; sweep < 12; sweep++) {
    for (let p = 0; p < a.length; p++) {
      for (let q = 0; q < p; q++) {
        const angle = Math.atan2(2 * a[p][q], a[p][p] - a[q][q]) / 2;
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        for (const row of a) [row[p], row[q]] = [cos * row[p] + sin * row[q], cos * row[q] - sin * row[p]];
        const [rowP, rowQ] = [[...a[p]], [...a[q]]];
        a[p] = rowP.map((value, k) => cos * value + sin * rowQ[k]);
        a[q] = rowQ.map((value, k) => cos * value - sin * rowP[k]);
      }
    }
  }
  return a.map((row, i) => Math.sqrt(Math.max(0, row[i]))).sort((x, y) => x - y);
}

/** Muon's Newton–Schulz iteration in float64 (Jordan et al. 2024), for matrices that are not tall. */
function plainOrthogonalize(matrix: Rows): Rows {
  const norm = Math.sqrt(matrix.flat().reduce((sum, value) => sum + value * value, 0));
  let x = combine((value) => value / (norm + 1e-7), matrix);
  for (let i = 0; i < 5; i++) {
    const a = multiply(x, transpose(x));
    const b = combine((first, second) => -4.775 * first + 2.0315 * second, a, multiply(a, a));
    x = combine((value, turned) => 3.4445 * value + turned, x, multiply(b, x));
  }
  return x;
}

/** |actual − wanted| ≤ relative · (|wanted| + way), `way` being how far the value has gone. */
function expectNear(actual: readonly number[], wanted: readonly number[], relative: number, way = 0): void {
  expect(actual.length).toBe(wanted.length);
  actual.forEach((value, i) => {
    const near = Math.abs(value - wanted[i]) <= relative * (Math.abs(wanted[i]) + way);
    if (!near) expect.fail(`${value} at ${i} is not near ${wanted[i]}`);
  });
}

const SHAPES = [
  [12, 30],
  [30, 12],
  [16, 16],
];

describe.each(['cpu', 'wasm'] as const)('optimizers on %s', (backend) => {
  beforeAll(async () => {
    await openTensorflow(backend);
    expect(tf.getBackend()).toBe(backend);
    expect(tf.getKernel(FUSED.adamw, backend) !== undefined).toBe(backend === 'wasm');
  });

  describe('AdamW', () => {
    it('moves by the rate against the sign of the first gradient, beside the decay', () => {
      const plain = parameterOf([1, 1, -2], { decays: false });
      const decaying = parameterOf([1, 1, -2]);
      const gradient = [3, -0.01, 0];
      const optimizer = new AdamW([plain, decaying], OPTIONS);
      step(optimizer, [plain, decaying], [gradient, gradient], 0.1, 0.5);
      expectNear(valuesOf(plain), [0.9, 1.1, -2], 1e-5);
      expectNear(valuesOf(decaying), [0.85, 1.05, -1.9], 1e-5); // 5% of each goes first
    });

    it.each([
      { size: 1, beta2: 0.999, weightDecay: 0, limit: Infinity },
      { size: 3, beta2: 0.95, weightDecay: 0.1, limit: Infinity },
      { size: 7, beta2: 0.999, weightDecay: 0.1, limit: 0.5 },
      { size: 1001, beta2: 0.999, weightDecay: 0.1, limit: Infinity },
      { size: 1001, beta2: 0.95, weightDecay: 0, limit: 0.5 },
    ])(
      'is plain float64 code over 20 steps: size $size, β₂ $beta2, decay $weightDecay, limit $limit',
      ({ size, beta2, weightDecay, limit }) => {
        const first = gaussians(`w ${size}`, size).map((value) => Math.fround(value / 4));
        const parameter = parameterOf(first, { limit });
        const plain = new PlainAdamW([...first], 0.9, beta2, limit);
        const optimizer = new AdamW([parameter], { beta1: 0.9, beta2 });
        let way = 0;
        for (let t = 1; t <= 20; t++) {
          const rate = 0.02 * Math.min(1, t / 5);
          const gradient = gaussians(`g ${size} ${t}`, size);
          step(optimizer, [parameter], [gradient], rate, weightDecay);
          plain.step(gradient, rate, weightDecay);
          way += rate;
          expectNear(valuesOf(parameter), plain.w, 1e-5, way);
        }
        expect(optimizer.steps).toBe(20);
        if (size > 100 && limit < 1)
          expect(plain.w.filter((w) => Math.abs(w) === limit).length).toBeGreaterThan(10);
      },
    );

    it.each([0.9, 0.999, 0.99999])('moves by the rate at first, however near one β₂ is: %d', (beta2) => {
      const parameter = parameterOf([0, 0, 0, 0, 0], { decays: false });
      step(new AdamW([parameter], { beta1: 0.9, beta2 }), [parameter], [[1, 1, 1, 1, 1]], 1, 0);
      expectNear(valuesOf(parameter), [-1, -1, -1, -1, -1], 1e-6);
    });

    it('does not hide a gradient that is no number', () => {
      const parameter = parameterOf([0.1, 0.1, 0.1, 0.1, 0.1], { limit: 0.5 });
      const optimizer = new AdamW([parameter], { beta1: 0.9, beta2: 0.99 });
      step(optimizer, [parameter], [[Number.NaN, 1, 1, 1, Number.NaN]], 0.01, 0);
      expect([...valuesOf(parameter)].map(Number.isNaN)).toEqual([true, false, false, false, true]);
    });
  });

  describe('Muon', () => {
    it.each(SHAPES)(
      'makes the singular values of [%d, %d] nearly one, and keeps the vectors',
      (rows, columns) => {
        const matrix = rowsOf(gaussians('matrix', rows * columns), columns);
        const result = tf.tidy(() => orthogonalize(tf.tensor2d(matrix)).arraySync());
        const [before, after] = [singularValues(matrix), singularValues(result)];
        expect(before.at(-1)! / before[0]).toBeGreaterThan(3);
        expect(after[0]).toBeGreaterThan(0.6);
        expect(after.at(-1)).toBeLessThan(1.3);
        // U·f(S)·Vᵀ · (U·S·Vᵀ)ᵀ is symmetric, and positive: its trace is Σ f(s)·s.
        const product = multiply(result, transpose(matrix));
        const size = before.reduce((sum, value) => sum + value, 0);
        expectNear(product.flat(), transpose(product).flat(), 1e-5, size);
        const trace = product.reduce((sum, row, i) => sum + row[i], 0);
        expect(trace / size).toBeGreaterThan(0.6);
        expect(trace / size).toBeLessThan(1.3);
      },
    );

    it('makes a diagonal matrix nearly the identity, small entries too', () => {
      const diagonal = [1, 0.3, 0.1, 0.03, 0.01];
      const matrix = diagonal.map((value, r) => diagonal.map((_, c) => (r === c ? value : 0)));
      const result = tf.tidy(() => orthogonalize(tf.tensor2d(matrix)).arraySync());
      result.forEach((row, r) =>
        row.forEach((value, c) => {
          if (r !== c) expect(Math.abs(value)).toBe(0);
          else expect(value > 0.6 && value < 1.3, `${value}`).toBe(true);
        }),
      );
    });

    it('leaves a matrix of zeros at zero', () => {
      expect(tf.tidy(() => orthogonalize(tf.zeros([3, 4])).arraySync()).flat()).toEqual(Array(12).fill(0));
    });

    it.each(SHAPES)('moves [%d, %d] by rate · √max(1, rows/columns) in spectral norm', (rows, columns) => {
      const first = gaussians('first', rows * columns);
      const parameter = parameterOf(first, { shape: [rows, columns] });
      step(new Muon([parameter], OPTIONS), [parameter], [gaussians('g', rows * columns)], 0.1);
      const move = valuesOf(parameter).map((value, i) => value - first[i]);
      const norm =
        singularValues(rowsOf(move, columns)).at(-1)! / (0.1 * Math.sqrt(Math.max(1, rows / columns)));
      expect(norm).toBeGreaterThan(0.9);
      expect(norm).toBeLessThan(1.3);
    });

    it.each(SHAPES)('is plain float64 code over 5 steps of [%d, %d]', (rows, columns) => {
      const first = gaussians('muon', rows * columns);
      const parameter = parameterOf(first, { shape: [rows, columns] });
      const optimizer = new Muon([parameter], OPTIONS);
      let weights = rowsOf(first, columns);
      let momentum = combine(() => 0, weights);
      for (let t = 1; t <= 5; t++) {
        const values = gaussians(`muon ${t}`, rows * columns);
        step(optimizer, [parameter], [values], 0.05, 0.2);
        const gradient = rowsOf(values, columns);
        momentum = combine((m, g) => 0.9 * m + g, momentum, gradient);
        const nesterov = combine((m, g) => g + 0.9 * m, momentum, gradient);
        const tall = rows > columns;
        const update = tall
          ? transpose(plainOrthogonalize(transpose(nesterov)))
          : plainOrthogonalize(nesterov);
        const rate = 0.05 * (tall ? Math.sqrt(rows / columns) : 1);
        weights = combine((w, u) => w - 0.05 * 0.2 * w - rate * u, weights, update);
      }
      expectNear(valuesOf(parameter), weights.flat(), 1e-5, 1);
      expect(optimizer.steps).toBe(5);
    });

    it('does not let a parameter decay that must not', () => {
      const parameter = parameterOf(gaussians('still', 12), { shape: [3, 4], decays: false });
      step(new Muon([parameter], OPTIONS), [parameter], [Array(12).fill(0)], 0.1, 0.5);
      expect(valuesOf(parameter)).toEqual(gaussians('still', 12));
    });

    it('leaves what is no matrix to AdamW', () => {
      const shapes = [[7], [5, 1], [1, 5], [4, 3]];
      const lengths = [7, 5, 5, 12];
      const make = () => lengths.map((n, i) => parameterOf(gaussians(`w${i}`, n), { shape: shapes[i] }));
      const [byMuon, byAdamw] = [make(), make()];
      const [muon, adamw] = [new Muon(byMuon, OPTIONS), new AdamW(byAdamw, OPTIONS)];
      for (let t = 0; t < 3; t++) {
        const gradients = lengths.map((n, i) => gaussians(`g${i} ${t}`, n));
        step(muon, byMuon, gradients, 0.1, 0.1);
        step(adamw, byAdamw, gradients, 0.1, 0.1);
      }
      const same = shapes.map((_, i) => valuesOf(byMuon[i]).every((w, k) => w === valuesOf(byAdamw[i])[k]));
      expect(same).toEqual([true, true, true, false]);
    });
  });

  describe.each([
    ['AdamW', AdamW],
    ['Muon', Muon],
  ] as const)('%s', (_, Kind) => {
    const shapes = [[6, 5], [9]];
    const lengths = [30, 9];
    const make = () => {
      const parameters = lengths.map((n, i) => parameterOf(gaussians(`w${i}`, n), { shape: shapes[i] }));
      return { parameters, optimizer: new Kind(parameters, OPTIONS) as Optimizer };
    };
    const run = ({ parameters, optimizer }: ReturnType<typeof make>, from: number, to: number) => {
      for (let t = from; t < to; t++) {
        const gradients = lengths.map((n, i) => gaussians(`g${i} ${t}`, n));
        step(optimizer, parameters, gradients, 0.05, 0.1);
      }
    };

    it('goes on from restored state exactly as without a stop', () => {
      const whole = make();
      run(whole, 0, 6);
      const stopped = make();
      run(stopped, 0, 3);
      const variablesOf = ({ parameters, optimizer }: typeof whole) => [
        ...parameters.map(({ variable }) => variable),
        ...optimizer.state,
      ];
      const saved = variablesOf(stopped).map((variable) => variable.dataSync().slice());
      const { steps } = stopped.optimizer;
      run(stopped, 3, 4); // what was saved is a copy
      const restored = make();
      tf.tidy(() =>
        variablesOf(restored).forEach((variable, i) => variable.assign(tf.tensor(saved[i], variable.shape))),
      );
      restored.optimizer.steps = steps;
      run(restored, 3, 6);
      expect(restored.optimizer.steps).toBe(6);
      expect(restored.parameters.map(valuesOf)).toEqual(whole.parameters.map(valuesOf));
    });

    it('holds as many tensors after every step, and none once disposed', () => {
      const before = tf.memory().numTensors;
      const made = make();
      const counts = [0, 1, 2, 3].map((t) => {
        run(made, t, t + 1);
        return tf.memory().numTensors;
      });
      expect(new Set(counts).size).toBe(1);
      made.optimizer.dispose();
      tf.dispose(made.parameters.map(({ variable }) => variable));
      expect(tf.memory().numTensors).toBe(before);
    });
  });

  describe('clipByGlobalNorm', () => {
    const clip = (gradients: Rows, norm: number) =>
      tf.tidy(() =>
        clipByGlobalNorm(
          gradients.map((values) => tf.tensor1d(values)),
          norm,
        ).map((clipped) => [...clipped.dataSync()]),
      );

    it('scales all gradients alike, to the norm', () => {
      const [first, second] = clip([[3, -4], [12]], 6.5); // of norm 13
      expectNear([...first, ...second], [1.5, -2, 6], 1e-6);
      const clipped = clip([gaussians('a', 1001), gaussians('b', 7)], 0.25).flat();
      expect(Math.hypot(...clipped)).toBeCloseTo(0.25, 6);
    });

    it('leaves a smaller norm as it is', () => {
      const gradients = [[3, -4], [12]];
      expect(clip(gradients, 13.1)).toEqual(gradients);
      expect(clip([[0, 0], [0]], 1)).toEqual([[0, 0], [0]]);
    });

    it('makes new tensors, one a gradient', () => {
      const gradients = [tf.tensor1d([3]), tf.tensor1d([4])];
      const before = tf.memory().numTensors;
      const clipped = clipByGlobalNorm(gradients, 10);
      expect(tf.memory().numTensors).toBe(before + 2);
      tf.dispose(clipped);
      expect([...gradients[0].dataSync()]).toEqual([3]);
      tf.dispose(gradients);
    });
  });
});
