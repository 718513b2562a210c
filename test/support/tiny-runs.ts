/** Training runs in memory on the tiny data set, with the weights after every step, and artifacts of them. */

import { type Base, formatKey } from '../../src/artifact/header.js';
import type { PerceptronHeader } from '../../src/artifact/perceptron.js';
import { type LogStep, lossOfUnits } from '../../src/artifact/seed-log.js';
import { weightsHash } from '../../src/artifact/weights-hash.js';
import type { Backend } from '../../src/backend/backend.js';
import type { NoiseStepConfig } from '../../src/perturb/config.js';
import { PRESETS } from '../../src/perturb/presets.js';
import { NoiseStepTrainer } from '../../src/perturb/trainer.js';
import type { TrainingSet } from '../../src/data/batches.js';
import { encodeTrained } from '../../src/train/encode.js';
import { tinyTrainingSet } from './tiny-data.js';

/** A run that takes milliseconds; every number that its tests lean on is said here, not in a preset. */
const settings: Partial<NoiseStepConfig> = {
  ...{ model: '36-8-4', centred: true, gain: 25, logitScale: 480 },
  ...{ perturb: 'nodes', artifact: 'pool', train: 'all', seed: 'tiny', steps: 12, batch: 32, cut: 1 },
  ...{ directions: 16, nonzeros: [8, 4], nonzerosBelow: [1.36], keep: 0.5 },
  ...{ pool: 48, learningRate: 0.2, hold: 0.3, beta1: 0.9, beta2: 0.99 },
  ...{ probes: 2, sigma: 51, rewardShift: 5 },
};

export const tinyConfig: NoiseStepConfig = { ...PRESETS.default, ...settings };

/** The same run as options of the command line. */
export const tinyOptions: readonly string[] = Object.entries(settings).flatMap(([key, value]) => [
  `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
  String(value),
]);

export interface TrainedRun {
  readonly trainer: NoiseStepTrainer<NoiseStepConfig>;
  readonly header: PerceptronHeader;
  /** The weights before the first step, and after every step. */
  readonly history: readonly Int8Array[];
  /** Of a log. */
  readonly steps: readonly LogStep[];
  readonly hash: string;
  /** The artifact, of the kind that the configuration names. */
  readonly bytes: Uint8Array;
}

/** What a delta is trained on. */
export interface TinyBase {
  readonly header: Base;
  readonly weights: Int8Array;
}

/** Trains on the tiny data to the end. */
export function tinyRun(
  changes: Partial<NoiseStepConfig>,
  backend: Backend,
  base?: TinyBase,
): Promise<TrainedRun> {
  return trainedRun({ ...tinyConfig, ...changes }, tinyTrainingSet, backend, base);
}

/** Trains to the end; on a base, it becomes a delta. */
export async function trainedRun(
  config: NoiseStepConfig,
  data: TrainingSet,
  backend: Backend,
  base?: TinyBase,
): Promise<TrainedRun> {
  const trainer = await NoiseStepTrainer.create(config, data, backend, { base: base?.weights });
  const history = [await trainer.placed.readWeights()];
  const steps: LogStep[] = [];
  while (trainer.step < config.steps) {
    const { log, lossUnits, step } = await trainer.next();
    if (log) steps.push({ ...log, seedStep: step, loss: lossOfUnits(lossUnits) });
    history.push(await trainer.placed.readWeights());
  }
  const trits = history.at(-1) as Int8Array;
  const hash = await weightsHash(trits);
  const header = { ...headerOf(trainer), ...(base && { base: base.header }) };
  const bytes = await encodeTrained(trainer, header, { base: base?.weights, steps });
  return { trainer, header, history, steps, hash, bytes };
}

function headerOf({ config, key, counts }: NoiseStepTrainer<NoiseStepConfig>): PerceptronHeader {
  const { model, centred, gain, logitScale, cut, artifact } = config;
  return {
    ...{ kind: artifact, model, centred, gain, logitScale, key: formatKey(key), cut },
    directions: artifact === 'packed' ? [] : counts,
    config: { ...config },
    data: { name: 'tiny', hash: '0'.repeat(64) },
  };
}
