/**
 * `ternseed/backprop`: the ste trainer on TensorFlow.js, and its parts. Importing it loads
 * @tensorflow/tfjs-core; `openTensorflow` loads a backend.
 */

export { checkSteConfig, type OptimizerName, type SteConfig } from './config.js';
export { linear } from '../ops/linear/ste.js';
export { crossEntropy } from '../ops/loss/ste.js';
export { normalizeRelu } from '../ops/normalize/ste.js';
export { AdamW } from './optimizers/adamw.js';
export { Muon, orthogonalize } from './optimizers/muon.js';
export { clipByGlobalNorm, type Optimizer, type Parameter, type StepSize } from './optimizers/optimizer.js';
export { STE_PRESETS, type StePresetName } from './presets.js';
export { hadamard } from './quantizers/hadamard.js';
export { quantizerOf } from './quantizers/index.js';
export { QUANTIZERS, type QuantizerName } from './quantizers/names.js';
export type { QuantizedLayer, Quantizer } from './quantizers/quantizer.js';
export { QUEST_SCALES, type QuestBits, questFake } from './quantizers/quest.js';
export { ternarize } from './quantizers/threshold.js';
export type { ThresholdRule } from '../quantize/rules.js';
export { factorsAt, type ScheduleName } from './schedules.js';
export { openTensorflow, type TensorflowBackend, type TensorflowChoice } from './tensorflow.js';
export { checkTextSteConfig, type TextSteConfig } from './text-config.js';
export { TEXT_STE_PRESETS, type TextStePresetName } from './text-presets.js';
export { type GradientHelpers } from './part-gradients.js';
export { type SteOptions, train } from './train.js';
export { type SteStart, SteTrainer } from './trainer.js';
export type { Training, TrainingData, TrainingOptions } from '../train/training.js';
export type { StepRecord } from '../train/trainer.js';
export type { RunState } from '../artifact/checkpoint.js';
