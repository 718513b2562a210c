/** What noise-step trains on. */

import { headerOfInputs } from '../src/artifact/inputs.js';
import type { Backend } from '../src/backend/backend.js';
import type { Dataset } from '../src/data/dataset.js';
import type { TextData } from '../src/data/text.js';
import {
  checkConfig,
  checkTextNoiseStepConfig,
  NOISE_STEP_SETTINGS,
  type NoiseStepConfig,
  TEXT_NOISE_STEP_SETTINGS,
  type TextNoiseStepConfig,
} from '../src/perturb/config.js';
import { type AnyNoiseStepConfig, NoiseStepTrainer } from '../src/perturb/trainer.js';
import { splitTraining, type Subject } from './subject.js';

export type NoiseStepSubject<Config extends AnyNoiseStepConfig, Scored> = Subject<
  Config,
  Scored,
  NoiseStepTrainer<Config>
>;

/** Labelled examples. */
export function ofExamples<Scored>(
  data: Dataset,
  backend: Backend,
): NoiseStepSubject<NoiseStepConfig, Scored> {
  return {
    data,
    inputs: headerOfInputs(data.inputs),
    settings: NOISE_STEP_SETTINGS,
    check: checkConfig,
    create: (config, start) =>
      NoiseStepTrainer.create(config, splitTraining(data.train, config.holdout).train, backend, start),
    title: ({ config }) => titleOf(config, config.perturb),
    extras,
  };
}

/** A text. */
export function ofText<Scored>(
  data: TextData,
  backend: Backend,
): NoiseStepSubject<TextNoiseStepConfig, Scored> {
  return {
    data,
    settings: TEXT_NOISE_STEP_SETTINGS,
    check: checkTextNoiseStepConfig,
    create: (config, start) => NoiseStepTrainer.ofText(config, data.train, backend, start),
    title: ({ config }) => titleOf(config, 'nodes'),
    extras,
  };
}

function titleOf({ train, artifact }: AnyNoiseStepConfig, perturb: string): string {
  return [perturb, ...(train === 'head' ? ['head alone'] : []), artifact].join(', ');
}

async function extras({ placed }: NoiseStepTrainer) {
  return { json: { deviceBytes: placed.memory }, rows: [] };
}
