/**
 * What transformers compute, pinned: logits, losses and alignments of three shapes on every backend, and short runs
 * of both trainers. A changed value means that texts of artifacts made before are scored and written otherwise than
 * they were: then the number of the arithmetic must rise (docs/arithmetic.md), and the values are renewed with it.
 */

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { batchOfWindows } from '../src/backend/batch.js';
import type { Backend, Probes } from '../src/backend/backend.js';
import { openTensorflow } from '../src/backprop/tensorflow.js';
import type { TextSteConfig } from '../src/backprop/text-config.js';
import { TEXT_STE_PRESETS } from '../src/backprop/text-presets.js';
import { SteTrainer } from '../src/backprop/trainer.js';
import type { TextNoiseStepConfig } from '../src/perturb/config.js';
import { TEXT_NOISE_STEP_PRESETS } from '../src/perturb/presets.js';
import { NoiseStepTrainer } from '../src/perturb/trainer.js';
import { philox } from '../src/random/philox.js';
import { type TransformerShape, transformerOf } from '../src/ternary/builders/transformer.js';
import { fastBackends, reference } from './support/backends.js';
import { randomValues } from './support/transformers.js';

const WINDOWS = 3;
const probes: Probes = { key: [2024, 12], step: 3, probes: 2, sigma: 51, rewardShift: 2, horizon: 2 };

/** What a shape computes. */
interface Results {
  /** SHA-256 of the logits after each byte of the first window, [length, 256] i32. */
  logits: string;
  /** The first logits of the last position. */
  lastLogits: number[];
  /** SHA-256 of losses, [windows, length] i32, and of predictions, bytes. */
  losses: string;
  predictions: string;
  firstLosses: number[];
  /** SHA-256 of the alignments, [parameters] i32, and their sums over each of the first tensors; null: tied. */
  alignments: string | null;
  alignmentSums: number[] | null;
}

/** First losses of a run, and the hash of its weights at the end. */
interface Run {
  losses: number[];
  weights: string;
}

interface Golden {
  shape: TransformerShape;
  /** Positions of a window that is evaluated. */
  length: number;
  results: Results;
  /** The noise-step trainer; null: it trains no tied model. */
  noiseStep: Run | null;
  /** The ste trainer: floats differ between backends of TensorFlow.js by their last digits, the weights do not. */
  ste: Run;
}

// Made by: npx vitest run test/golden-transformers.test.ts (0.1.0; what differs is printed).
const GOLDEN: Record<string, Golden> = {
  looped: {
    shape: {
      ...{ blocks: 2, width: 36, heads: 3, keyHeads: 3, hidden: 41, context: 13 },
      ...{ loopFrom: 1, loopTo: 2, loops: 2, tied: false, embedding: 'int8' },
    },
    length: 13,
    results: {
      logits: '481208c08f0d84eb2dcf32c25688212b3b86d05a2ae82c2256a1558765433164',
      lastLogits: [-32576, -80832, 279040, -95296],
      losses: '7033c9bd0d401edb95ffed5f48ac8cc5ec22b0ea2d1ac684bff4565e4f543bb0',
      predictions: '432d9ba23a0ebec930669ca01e453b77bd75d8cb035f80a02636e97397ab33a7',
      firstLosses: [776009, 633676, 524184, 896109],
      alignments: 'cea4dc98df84a933b8954fa5741fd040dbead360c1b1e66794c891270ee164b2',
      alignmentSums: [-274432, -240461740, 112508132, 96109298],
    },
    noiseStep: {
      losses: [5.545177444479562, 4.8824051359067635, 5.073034278764993],
      weights: '60d2ede028d7ce0a546a4c17319853697abf8ddb4b5faea0a0243e63f8804630',
    },
    ste: {
      losses: [5.599837, 5.447204, 5.463425, 5.44547],
      weights: 'ce7cb8c98693d5eff64bc82701ff58a9ee3ddba62bc85f84a0be1b45da16f61f',
    },
  },
  tied: {
    shape: {
      ...{ blocks: 1, width: 40, heads: 2, keyHeads: 1, hidden: 57, context: 9 },
      ...{ loopFrom: 0, loopTo: 1, loops: 1, tied: true, embedding: 'int8' },
    },
    length: 7,
    results: {
      logits: '1e7d168e38a932066996189c27ceae11c7f316c206e64c3acc173b9fe7c0eb9f',
      lastLogits: [6272, 59264, -68480, 571968],
      losses: 'a8fe17e3402bc2a01741ba5d8457bb0389a4039c65bd25af10caadc4df9ca548',
      predictions: 'f511fa82f1b01247053093511bf1a568564774608ed09971d75a8d69067650e9',
      firstLosses: [491493, 640923, 612989, 723380],
      alignments: null,
      alignmentSums: null,
    },
    noiseStep: null,
    ste: {
      losses: [18.699878, 16.910222, 16.42829, 15.644039],
      weights: 'f40bf821432f3d746a93e9360d074ddafdb2cc232b27a70da9b0b60f2c15c5a7',
    },
  },
  'ternary embedding': {
    shape: {
      ...{ blocks: 2, width: 48, heads: 4, keyHeads: 2, hidden: 33, context: 11 },
      ...{ loopFrom: 0, loopTo: 2, loops: 1, tied: false, embedding: 'ternary' },
    },
    length: 10,
    results: {
      logits: '489f6267ea36fb979e34450ac18c6817c746df04fbf27c2f8f2c32d68ed34460',
      lastLogits: [119232, 8128, -124416, 10304],
      losses: 'af5a18cbe3ba0d0b191e43f666d552c21e665e46678a6db91e327120d1009a0f',
      predictions: 'e979fd64376a3a19416e2eca18edade000b56d274e42d8799357b4adc3e4950e',
      firstLosses: [389472, 340970, 568238, 527016],
      alignments: '18e984d3353d1dc70981803301e7047450c11e635b28ba84dd044cbaa844ef22',
      alignmentSums: [470532, -186586308, -95990996, 63401134],
    },
    noiseStep: {
      losses: [5.545177444479562, 28.483670487797873, 20.848076530258457],
      weights: 'd9836dc9a82dede67f6e8b466e2eed74912d9764badeb65b54ec6b8921186bee',
    },
    ste: {
      losses: [5.540684, 5.57512, 5.547605, 5.56894],
      weights: '9e889321b5362eb4df18a9467d53d667c623741ef74844c0fb3c139189d14c58',
    },
  },
};

/** Letters from Philox, of which the early ones are likelier, under a key of the text's own. */
function letters(count: number): Uint8Array {
  const words = new Uint32Array(4);
  return Uint8Array.from({ length: count }, (_, i) => {
    philox([2024, 13], i, 0, 0, 0, words);
    return 97 + Math.min(words[0] % 26, words[1] % 26);
  });
}

const text = letters(600);

/** The key of both runs, so that they do not depend on how texts become keys. */
const RUN_KEY = [1629227714, 1887917270] as const;

/** SHA-256 of little-endian bytes. */
function sha256(array: Int32Array | Uint8Array): string {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return createHash('sha256').update(bytes).digest('hex');
}

async function resultsOn(backend: Backend, { shape, length }: Golden): Promise<Results> {
  const model = transformerOf(shape);
  const align = !shape.tied;
  const placed = await backend.place(model, { batch: WINDOWS, ...(align && { probes: probes.probes }) });
  await placed.writeWeights(randomValues(model, 15));
  placed.load(batchOfWindows(text.subarray(0, WINDOWS * (length + 1)), length));
  const { losses, predictions } = await placed.evaluate();
  const { alignments } = align ? await placed.align(probes) : { alignments: null };
  placed.restart();
  const logits = new Int32Array(length * 256);
  for (let position = 0; position < length; position++) {
    logits.set(await placed.next(text[position]), position * 256);
  }
  await placed.release();
  return {
    logits: sha256(logits),
    lastLogits: [...logits.subarray((length - 1) * 256).subarray(97, 101)],
    losses: sha256(losses),
    predictions: sha256(predictions),
    firstLosses: [...losses.subarray(0, 4)],
    alignments: alignments && sha256(alignments),
    alignmentSums:
      alignments &&
      model.tensors.slice(0, 4).map(({ offset, rows, columns }) => {
        return alignments.subarray(offset, offset + rows * columns).reduce((sum, one) => sum + one, 0);
      }),
  };
}

async function runNoiseStep(backend: Backend, shape: TransformerShape): Promise<Run> {
  const config: TextNoiseStepConfig = {
    ...TEXT_NOISE_STEP_PRESETS.default,
    ...shape,
    ...{ seed: 'golden', steps: 3, batch: 3, train: 'all', learningRate: 2.5, hold: 0.5 },
    headRate: shape.embedding === 'ternary' ? 60 : 16, // so that its first trits move
    ...{ beta1: 0.9, beta2: 0.99, probes: 1, sigma: 51, rewardShift: 1, horizon: 2, grain: 1 },
  };
  const trainer = await NoiseStepTrainer.ofText(config, text, backend, { key: RUN_KEY });
  const losses: number[] = [];
  while (trainer.step < config.steps) losses.push((await trainer.next()).loss);
  const weights = await weightsHash(await trainer.values(), trainer.graph.tensors);
  await trainer.placed.release();
  return { losses, weights };
}

async function runSte(name: 'cpu' | 'wasm', shape: TransformerShape): Promise<Run> {
  const config: TextSteConfig = {
    ...TEXT_STE_PRESETS.default,
    ...shape,
    ...{ hidden: shape.hidden & ~3, context: shape.context & ~3 }, // as this trainer needs them
    ...{ seed: 'golden', steps: 4, batch: 4, shards: 2, quantizer: 'absmean', threshold: 0.8 },
    ...{ optimizer: 'adamw', learningRate: 0.003, schedule: 'cosine', warmup: 0.05, weightDecay: 0.01 },
    ...{ clipNorm: 0, beta1: 0.9, beta2: 0.98, momentum: 0.95 },
  };
  const backend = await openTensorflow(name);
  const trainer = await SteTrainer.ofText(config, text, { key: RUN_KEY });
  const losses: number[] = [];
  while (trainer.step < config.steps) losses.push((await trainer.next()).loss);
  const weights = await weightsHash(await trainer.values(), trainer.graph.tensors);
  await trainer.release();
  await backend.close();
  return { losses, weights };
}

const backends = [['reference', async () => reference] as const, ...fastBackends];

describe.each(Object.entries(GOLDEN))('%s', (_, golden) => {
  it.each(backends)('has its golden logits, losses and alignments on %s', async (_name, open) => {
    const backend = await open();
    expect(await resultsOn(backend, golden)).toEqual(golden.results);
    await backend.close();
  });

  // The trainer's own arithmetic is the same on all; a software adapter would take minutes for the rest.
  const trained = golden.noiseStep ? backends.filter(([name]) => !name.startsWith('webgpu')) : [];
  it.each(trained)('has its golden run of noise-step on %s', async (_name, open) => {
    const backend = await open();
    expect(await runNoiseStep(backend, golden.shape)).toEqual(golden.noiseStep);
    await backend.close();
  });

  it.each(['cpu', 'wasm'] as const)('has its golden run of ste on %s', async (name) => {
    const { losses, weights } = await runSte(name, golden.shape);
    golden.ste.losses.forEach((loss, i) => expect(losses[i]).toBeCloseTo(loss, 5));
    expect(weights).toBe(golden.ste.weights);
  });
});
