/** The oracle for a perceptron: every operation in plain TypeScript, one example at a time. */

import {
  type DirectionSet,
  directionOfWeight,
  nonzerosMax,
  Signs,
  weightsOfDirection,
} from '../../random/directions.js';
import { initLatents, latentOf, latentRange, tritOf } from '../../random/latents.js';
import type { Key } from '../../random/philox.js';
import { crossEntropy } from '../../ternary/loss.js';
import type { Layer, Network, Tensor } from '../../ternary/network.js';
import { normalizeRelu, scaleOf } from '../../ternary/normalize.js';
import { finishSum } from '../../ternary/precision.js';
import { roundShift } from '../../ternary/rounding.js';
import {
  type Alignment,
  alignmentShift,
  type Evaluation,
  errorLimit,
  type MemoryUse,
  type NodeProbes,
  type PlacedNetwork,
  type Room,
} from '../backend.js';
import { BatchGuard } from '../batch-guard.js';
import { probeSigns } from './probe-signs.js';

/** One example on its way through the network. */
interface Pass {
  /** Per layer, its input activations. */
  inputs: Uint8Array[];
  /** Per layer, its pre-activations. */
  sums: Int32Array[];
  loss: number;
  prediction: number;
}

export class ReferenceNetwork implements PlacedNetwork {
  readonly #weights: Int8Array;
  readonly #latents: Int8Array;
  readonly batchMax: number;
  readonly #guard: BatchGuard;
  #cut = 0;
  #inputs = new Uint8Array(0);
  #labels = new Uint8Array(0);

  constructor(
    readonly network: Network,
    room: Room,
  ) {
    this.#guard = new BatchGuard(network, room);
    this.batchMax = room.batch;
    this.#weights = new Int8Array(network.parameters);
    this.#latents = new Int8Array(network.parameters);
  }

  get memory(): MemoryUse {
    const { parameters } = this.network;
    return {
      weights: parameters,
      latents: parameters,
      batch: this.#inputs.length + this.#labels.length,
      work: 0,
    };
  }

  loadBatch(inputs: Uint8Array, labels: Uint8Array): void {
    this.#guard.checkShape(inputs, labels);
    this.#guard.checkRange(inputs.reduce((bits, input) => bits | input, 0));
    this.#inputs = inputs.slice();
    this.#labels = labels.slice();
  }

  async release(): Promise<void> {}

  async evaluate(): Promise<Evaluation> {
    return this.#evaluationOf(this.#forwardBatch());
  }

  async logits(): Promise<Int32Array> {
    const passes = this.#forwardBatch();
    const classes = this.network.widths.at(-1) as number;
    const logits = new Int32Array(passes.length * classes);
    passes.forEach((pass, example) => {
      logits.set(pass.sums.at(-1) as Int32Array, example * classes);
    });
    return logits;
  }

  async initLatents(key: Key, cut: number): Promise<void> {
    this.#guard.requireTernary();
    this.#cut = cut;
    this.network.layers.forEach(({ weights }, index) => {
      initLatents(key, index, cut, partOf(this.#latents, weights));
    });
    this.#latents.forEach((latent, i) => {
      this.#weights[i] = tritOf(latent, cut);
    });
  }

  async startLatents(trits: Int8Array, cut: number): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkWeights(trits);
    this.#cut = cut;
    this.#weights.set(trits);
    this.#latents.set(trits.map((trit) => latentOf(trit, cut)));
  }

  async writeWeights(weights: Int8Array): Promise<void> {
    this.#guard.checkWeights(weights);
    this.#weights.set(weights);
  }

  async readWeights(): Promise<Int8Array> {
    return this.#weights.slice();
  }

  async applyStep(set: DirectionSet, coefficients: Int8Array): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkCoefficients('Int8Array', coefficients, [set]);
    const range = latentRange(this.#cut);
    const signs = new Signs(set);
    for (let k = 0; k < set.directions; k++) {
      if (coefficients[k] === 0) continue;
      for (const index of weightsOfDirection(set, k)) {
        const i = set.offset + index;
        const moved = this.#latents[i] - coefficients[k] * signs.at(index);
        const latent = Math.max(-range, Math.min(range, moved));
        this.#latents[i] = latent;
        this.#weights[i] = tritOf(latent, this.#cut);
      }
    }
  }

  async applyPool(sets: readonly DirectionSet[], coefficients: Int16Array): Promise<void> {
    this.#guard.requireTernary();
    this.#guard.checkCoefficients('Int16Array', coefficients, sets);
    let first = 0;
    for (const set of sets) {
      const signs = new Signs(set);
      for (let index = 0; index < set.size; index++) {
        const coefficient = coefficients[first + directionOfWeight(set, index)];
        const latent = this.#latents[set.offset + index] + coefficient * signs.at(index);
        this.#weights[set.offset + index] = tritOf(latent, this.#cut);
      }
      first += set.directions;
    }
  }

  async alignWeights(set: DirectionSet, first: number, count: number): Promise<Alignment<Float64Array>> {
    this.#guard.requireTernary();
    this.#guard.checkWeightsRoom(this.#labels.length);
    const alignments = new Float64Array(count);
    const weights = Int8Array.from(this.#weights);
    const signs = new Signs(set);
    for (let k = 0; k < count; k++) {
      const direction = weightsOfDirection(set, (first + k) % set.directions);
      for (const side of [1, -1]) {
        for (const index of direction)
          weights[set.offset + index] = this.#weightAt(set, index) + side * signs.at(index);
        for (let example = 0; example < this.#labels.length; example++) {
          alignments[k] += side * this.#forward(example, weights).loss;
        }
      }
      for (const index of direction) weights[set.offset + index] = this.#weightAt(set, index);
    }
    return { alignments, evaluation: this.#evaluationOf(this.#forwardBatch()) };
  }

  async alignNodes(probes: NodeProbes, sets: readonly DirectionSet[]): Promise<Alignment<Int32Array>> {
    this.#guard.requireTernary();
    this.#guard.checkNodes(this.#labels.length, probes.probes);
    const passes = this.#forwardBatch();
    const alignments: number[] = [];
    for (const set of sets) {
      const layer = set.group;
      const { columns } = this.network.layers[layer].weights;
      const errors = passes.map((pass, example) => this.#errors(pass, example, layer, probes));
      const shift = alignmentShift(nonzerosMax(set));
      const sums = new Int32Array(set.directions);
      const signs = new Signs(set);
      for (let index = 0; index < set.size; index++) {
        const k = directionOfWeight(set, index);
        if (k < 0) continue;
        const row = Math.floor(index / columns);
        const column = index % columns;
        let sum = 0; // |sum| ≤ errorLimit·127·B < 2^31
        passes.forEach((pass, example) => {
          const input = pass.inputs[layer];
          sum += errors[example][row] * input[column];
        });
        sums[k] += signs.at(index) * roundShift(sum, shift);
      }
      for (const sum of sums) alignments.push(sum);
    }
    return { alignments: Int32Array.from(alignments), evaluation: this.#evaluationOf(passes) };
  }

  /** δ̂ of one example at one layer's pre-activations: exact at the last layer, else from probes. */
  #errors(
    pass: Pass,
    example: number,
    layer: number,
    { key, step, probes, sigma, rewardShift }: NodeProbes,
  ): Int16Array {
    const { layers, centred, gain, logitScale } = this.network;
    const z = pass.sums[layer];
    const errors = new Int16Array(z.length);
    if (layer === layers.length - 1) {
      crossEntropy(z, this.#labels[example], logitScale, errors);
      return errors;
    }
    const active = pass.inputs[layer + 1];
    const size = Math.max(1, roundShift(scaleOf(z, centred).meanAbs * sigma, 8));
    const limit = Math.floor(errorLimit(this.#labels.length) / probes);
    for (let probe = 0; probe < probes; probe++) {
      const signs = probeSigns(active, probe, key, step, layer, example);
      const losses = [1, -1].map((side) => {
        const disturbed = z.map((value, unit) => value + side * size * signs[unit]);
        const q = new Uint8Array(z.length);
        normalizeRelu(disturbed, gain, scaleOf(disturbed, centred), q);
        return this.#forwardFrom(layer + 1, q, example, this.#weights).loss;
      }) as [number, number];
      const reward = Math.max(-limit, Math.min(limit, roundShift(losses[0] - losses[1], rewardShift)));
      for (let unit = 0; unit < z.length; unit++) {
        errors[unit] += reward * signs[unit];
      }
    }
    return errors;
  }

  #forwardBatch(): Pass[] {
    this.#guard.requireBatch(this.#labels.length);
    return Array.from(this.#labels, (_, example) => this.#forward(example, this.#weights));
  }

  #forward(example: number, weights: Int8Array): Pass {
    const width = this.network.widths[0];
    const input = this.#inputs.subarray(example * width, (example + 1) * width);
    return this.#forwardFrom(0, input, example, weights);
  }

  /** The layers from `first` on, with the given activations as its input. */
  #forwardFrom(first: number, input: Uint8Array, example: number, weights: Int8Array): Pass {
    const { layers, centred, gain, logitScale } = this.network;
    const inputs: Uint8Array[] = [];
    const sums: Int32Array[] = [];
    let x = input;
    for (const layer of layers.slice(first)) {
      const z = linear(layer, weights, x);
      inputs.push(x);
      sums.push(z);
      x = new Uint8Array(z.length);
      normalizeRelu(z, gain, scaleOf(z, centred), x);
    }
    const label = this.#labels[example];
    return { inputs, sums, ...crossEntropy(sums.at(-1) as Int32Array, label, logitScale, null) };
  }

  #evaluationOf(passes: readonly Pass[]): Evaluation {
    return {
      losses: Int32Array.from(passes, (pass) => pass.loss),
      predictions: Uint8Array.from(passes, (pass) => pass.prediction),
    };
  }

  #weightAt(set: DirectionSet, index: number): number {
    return this.#weights[set.offset + index];
  }
}

/** A tensor's part of the values of a model. */
function partOf(values: Int8Array, { offset, rows, columns }: Tensor): Int8Array {
  return values.subarray(offset, offset + rows * columns);
}

/**
 * The pre-activations of one example: z = W·x, rounded as the layer's precision says.
 * @param values - of the whole model
 * @param x - [N] u7
 * @returns z, [M]; |Σ w·x| ≤ 127·Σ|w| < 2^31 by `networkOf`
 */
function linear(layer: Layer, values: Int8Array, x: Uint8Array): Int32Array {
  const { shift, scale } = layer;
  const { rows, columns } = layer.weights;
  const weights = partOf(values, layer.weights); // [M, N]
  const scales = scale && partOf(values, scale); // [M]
  const z = new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let column = 0; column < columns; column++) {
      sum += weights[row * columns + column] * x[column];
    }
    z[row] = finishSum(sum, shift, scales && scales[row]);
  }
  return z;
}
