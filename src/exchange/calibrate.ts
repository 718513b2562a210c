/**
 * Choosing what a network of real weights does not say: the gain of its activations and the scale of
 * its logits. Both are read off examples that it was trained on, by the lowest cross-entropy on a small
 * grid; the logits of a gain are computed once and serve every scale.
 */

import type { Backend } from '../backend/backend.js';
import type { LabelledExamples } from '../backend/batch.js';
import { ACTIVATION_MAX, EXPONENT_MAX } from '../ternary/units.js';
import { networkOf, type NetworkOptions } from '../ternary/builders/perceptron.js';
import { Breath, type Watch } from '../watch.js';

/** Gains that are tried: half an octave or so apart, about the 25 and 40 that trained networks have. */
const GAINS = [10, 16, 25, 40, 64, 100];
/** Examples that are looked at, the first ones: the choice of two numbers needs no more. */
export const CALIBRATION_EXAMPLES = 10_000;

export interface Calibration {
  readonly gain: number;
  readonly logitScale: number;
  /** Mean cross-entropy in nats, computed in floating point. */
  readonly loss: number;
  /** Pairs that were compared. */
  readonly trials: number;
}

/**
 * Chooses gain and logitScale.
 * @param widths - of the network
 * @param weights - its integers in model order
 * @param fixed - precision and centring, and what the caller has chosen already
 * @param examples - the first 10,000 are used
 * @param watch - progress in trials, and a signal to give up by
 */
export async function calibrate(
  widths: readonly number[],
  weights: Int8Array,
  fixed: Pick<NetworkOptions, 'centred' | 'precision'> & {
    readonly gain?: number;
    readonly logitScale?: number;
  },
  examples: LabelledExamples,
  backend: Backend,
  watch?: Watch,
): Promise<Calibration> {
  const classes = widths[widths.length - 1];
  const scales = fixed.logitScale === undefined ? scalesFor(widths) : [fixed.logitScale];
  const labels = examples.labels.subarray(0, CALIBRATION_EXAMPLES);
  let best: Calibration | null = null;
  let trials = 0;
  const breath = new Breath(watch);
  const gains = fixed.gain === undefined ? GAINS : [fixed.gain];
  for (const gain of gains) {
    const network = networkOf(widths, { ...fixed, gain, logitScale: 1 });
    const placed = await backend.place(network, { batch: 1000 });
    try {
      await placed.writeWeights(weights);
      const losses = new Float64Array(scales.length);
      for (let first = 0; first < labels.length; first += placed.batchMax) {
        if (breath.due()) await breath.take(trials, gains.length * scales.length);
        const part = labels.subarray(first, first + placed.batchMax);
        const { width } = examples;
        const inputs = examples.inputs.subarray(first * width, (first + part.length) * width);
        placed.load({ inputs, labels: part, length: 1 });
        const logits = await placed.logits();
        scales.forEach((scale, s) => {
          for (let b = 0; b < part.length; b++) {
            losses[s] += crossEntropy(logits.subarray(b * classes, (b + 1) * classes), part[b], scale);
          }
        });
      }
      scales.forEach((logitScale, s) => {
        trials += 1;
        const loss = losses[s] / labels.length;
        if (best === null || loss < best.loss) best = { gain, logitScale, loss, trials };
      });
    } finally {
      await placed.release();
    }
  }
  return { ...(best as unknown as Calibration), trials };
}

/** Scales half an octave apart, from 1 to the largest that the arithmetic takes. */
function scalesFor(widths: readonly number[]): number[] {
  const most = Math.floor(EXPONENT_MAX / (2 * ACTIVATION_MAX * widths[widths.length - 2]));
  const scales = new Set<number>([most]);
  for (let scale = 1; scale < most; scale *= Math.SQRT2) scales.add(Math.round(scale));
  return [...scales];
}

/** In nats, with p ∝ 2^(logit · scale / 65536). */
function crossEntropy(logits: Int32Array, label: number, scale: number): number {
  const unit = (scale * Math.LN2) / 65_536;
  const top = logits.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY);
  const sum = logits.reduce((total, logit) => total + Math.exp((logit - top) * unit), 0);
  return Math.log(sum) + (top - logits[label]) * unit;
}
