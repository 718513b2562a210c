/** Training by noise-step in the library. */

import type { Backend } from '../backend/backend.js';
import { type BackendChoice, openBackend } from '../backend/open.js';
import { beginTraining, type Training, type TrainingData, type TrainingOptions } from '../train/training.js';
import type { NoiseStepConfig, TextNoiseStepConfig } from './config.js';
import {
  PRESETS,
  type PresetName,
  TEXT_NOISE_STEP_PRESETS,
  type TextNoiseStepPresetName,
} from './presets.js';
import { type AnyNoiseStepConfig, NoiseStepTrainer } from './trainer.js';

export interface NoiseStepOptions extends TrainingOptions<AnyNoiseStepConfig> {
  /** A preset, whose settings `config` changes; `default` if left out. */
  readonly preset?: PresetName | TextNoiseStepPresetName | undefined;
  /** What computes, or its name; `auto` if left out. One that is given open stays open. */
  readonly backend?: Backend | BackendChoice | undefined;
}

/**
 * Begins to train by noise-step, without backprop.
 * @param data - labelled examples, or a text
 * @throws {ConfigError} when settings or data do not fit
 * @throws {BackendError} when the backend that was named cannot run here
 * @example
 * const training = await train({ inputs, labels, count, width }, { preset: 'small', config: { model: '64-32-10' } });
 * for await (const { step, loss } of training) console.log(step, loss);
 * const artifact = await training.save();
 * await training.close();
 */
export async function train(
  data: TrainingData,
  options: NoiseStepOptions = {},
): Promise<Training<NoiseStepTrainer>> {
  const { backend: choice = 'auto', threads } = options;
  const own = typeof choice === 'string' ? await openBackend(choice, threads) : null;
  const backend = own ?? (choice as Backend);
  return beginTraining<NoiseStepTrainer>(data, options, {
    presets: { examples: PRESETS, text: TEXT_NOISE_STEP_PRESETS },
    ofExamples: (config, examples, start) =>
      NoiseStepTrainer.create(config as unknown as NoiseStepConfig, examples, backend, start),
    ofText: (config, text, start) =>
      NoiseStepTrainer.ofText(config as unknown as TextNoiseStepConfig, text, backend, start),
    close: async () => own?.close(),
  });
}
