/** Training by ste in the library; only for Node. */

import { beginTraining, type Training, type TrainingData, type TrainingOptions } from '../train/training.js';
import { checkSteConfig, type SteConfig } from './config.js';
import { helpersOn } from './gradient-threads.js';
import { STE_PRESETS, type StePresetName } from './presets.js';
import { openTensorflow, type TensorflowChoice } from './tensorflow.js';
import { checkTextSteConfig, type TextSteConfig } from './text-config.js';
import { TEXT_STE_PRESETS, type TextStePresetName } from './text-presets.js';
import { type AnySteConfig, SteTrainer } from './trainer.js';

export interface SteOptions extends TrainingOptions<AnySteConfig> {
  /** A preset, whose settings `config` changes; `default` if left out. */
  readonly preset?: StePresetName | TextStePresetName | undefined;
  /** Which backend of TensorFlow.js computes; `auto` if left out. */
  readonly backend?: TensorflowChoice | undefined;
}

/**
 * Begins to train by quantization-aware backprop.
 * @param data - labelled examples, or a text
 * @throws {ConfigError} when settings or data do not fit
 * @throws {BackendError} when TensorFlow.js is not installed, or its backend cannot run here
 * @example
 * const training = await train({ inputs, labels, count, width }, { preset: 'compact', config: { model: '64-64-32-10' } });
 * for await (const { step, loss } of training) console.log(step, loss);
 * const artifact = await training.save();
 * await training.close();
 */
export async function train(data: TrainingData, options: SteOptions = {}): Promise<Training<SteTrainer>> {
  const tensorflow = await openTensorflow(options.backend ?? 'auto');
  return beginTraining<SteTrainer>(data, options, {
    presets: { examples: STE_PRESETS, text: TEXT_STE_PRESETS },
    async ofExamples(settings, examples, start) {
      const config = settings as SteConfig;
      const helpers = await helpersOn(tensorflow, checkSteConfig(config), config, options.threads);
      return SteTrainer.create(config, examples, { ...start, helpers });
    },
    async ofText(settings, text, start) {
      const config = settings as TextSteConfig;
      const helpers = await helpersOn(tensorflow, checkTextSteConfig(config), config, options.threads);
      return SteTrainer.ofText(config, text, { ...start, helpers });
    },
    close: () => tensorflow.close(),
  });
}
