/** What ste trains on. Importing it loads TensorFlow.js, which is optional. */

import { headerOfInputs } from '../src/artifact/inputs.js';
import { exampleBatches, windowBatches } from '../src/backend/batch.js';
import { checkSteConfig, STE_SETTINGS, type SteConfig } from '../src/backprop/config.js';
import { helpersOn } from '../src/backprop/gradient-threads.js';
import type { TensorflowBackend } from '../src/backprop/tensorflow.js';
import { checkTextSteConfig, TEXT_STE_SETTINGS, type TextSteConfig } from '../src/backprop/text-config.js';
import { type AnySteConfig, SteTrainer } from '../src/backprop/trainer.js';
import type { Dataset, Examples } from '../src/data/dataset.js';
import { JUDGED_BYTES_MAX, type TextData } from '../src/data/text.js';
import { percent } from './output.js';
import { splitTraining, type Subject } from './subject.js';

type SteSubject<Config extends AnySteConfig, Scored> = Subject<Config, Scored, SteTrainer<Config>>;

/** Examples that `extras` evaluates at a time. */
const EVALUATION_BATCH = 1000;
/** Windows that it does. */
const EVALUATION_WINDOWS = 32;

/** Labelled examples. */
export function ofExamples(
  { name, hash, train, inputs }: Dataset,
  tensorflow: TensorflowBackend,
  threads?: number,
): SteSubject<SteConfig, Examples> {
  return {
    data: { name, hash },
    inputs: headerOfInputs(inputs),
    settings: STE_SETTINGS,
    check: checkSteConfig,
    async create(config, { key }) {
      const helpers = await helpersOn(tensorflow, checkSteConfig(config), config, threads);
      return SteTrainer.create(config, splitTraining(train, config.holdout).train, { key, helpers });
    },
    title: titleOf,
    async extras(trainer, scored, watch) {
      const { accuracy, loss } = await trainer.evaluate(exampleBatches(scored, EVALUATION_BATCH), watch);
      return {
        json: {
          ...{ trainerAccuracy: accuracy, trainerLoss: loss, tensors: trainer.tensorsInUse },
          backwardPasses: trainer.forwardPassesPerStep * trainer.step,
        },
        rows: [['trainer’s own evaluation', percent(accuracy)]],
      };
    },
  };
}

/** A text. */
export function ofText(
  { name, hash, train }: TextData,
  tensorflow: TensorflowBackend,
  threads?: number,
): SteSubject<TextSteConfig, Uint8Array> {
  return {
    data: { name, hash },
    settings: TEXT_STE_SETTINGS,
    check: checkTextSteConfig,
    async create(config, { key }) {
      const helpers = await helpersOn(tensorflow, checkTextSteConfig(config), config, threads);
      return SteTrainer.ofText(config, train, { key, helpers });
    },
    title: titleOf,
    async extras(trainer, scored, watch) {
      const { context } = trainer.config;
      const cut = { windows: EVALUATION_WINDOWS, context, stride: context, most: JUDGED_BYTES_MAX };
      const { loss } = await trainer.evaluate(windowBatches(scored, cut), watch);
      const bitsPerByte = loss / Math.LN2;
      return {
        json: { trainerBitsPerByte: bitsPerByte, tensors: trainer.tensorsInUse },
        rows: [['trainer’s own evaluation', `${bitsPerByte.toFixed(4)} bits a byte`]],
      };
    },
  };
}

function titleOf<Config extends AnySteConfig>({ config, helpers }: SteTrainer<Config>): string {
  const { artifact, quantizer, optimizer } = config;
  const how = artifact === 'packed' ? [[quantizer].flat().join(' ')] : [];
  const threads = (helpers?.parts ?? 0) > 0 ? ['threads'] : [];
  return ['ste', artifact, ...how, optimizer, ...threads].join(', ');
}
