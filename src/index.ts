/**
 * ternseed: trains ternary networks and ships them as a few kilobytes of seeds that rebuild
 * exactly the same weights on every machine. This is the whole public API; `ternseed/artifact`
 * is the part that loads and runs artifacts.
 */

export * from './artifact/index.js';
export type { Alignment, Probes, Shard } from './backend/backend.js';
export type { LabelledExamples } from './backend/batch.js';
export type { TrainingSet } from './data/batches.js';
export {
  type Examples,
  type ExampleSets,
  type NamedArray,
  type RawPart,
  readExamples,
  type ReadingOptions,
} from './data/examples.js';
export { type IdxArray, type IdxValues, parseIdx } from './data/idx.js';
export { type Calibration, calibrate } from './exchange/calibrate.js';
export { exportJson } from './exchange/export-json.js';
export {
  exportSafetensors,
  type SafetensorsForm,
  type SafetensorsOptions,
} from './exchange/export-safetensors.js';
export {
  assembleLayers,
  type ExportedModel,
  type ImportOptions,
  importSafetensors,
} from './exchange/import-safetensors.js';
export type { Fits, Layout, Reading } from './exchange/layer-order.js';
export type { RealModel, RealOptions } from './exchange/real-layers.js';
export {
  exactTernary,
  type IntegerMatrix,
  MATRIX_QUANTIZERS,
  type MatrixQuantizerName,
  quantizeMatrix,
  type RealMatrix,
} from './quantize/matrix.js';
export {
  checkConfig,
  checkTextNoiseStepConfig,
  type NoiseStepConfig,
  type TextNoiseStepConfig,
} from './perturb/config.js';
export {
  PRESETS,
  type PresetName,
  TEXT_NOISE_STEP_PRESETS,
  type TextNoiseStepPresetName,
} from './perturb/presets.js';
export { type NoiseStepOptions, train } from './perturb/train.js';
export { type ExactRecord, type NoiseStepStart, NoiseStepTrainer } from './perturb/trainer.js';
export type { RunState } from './artifact/checkpoint.js';
export type { LogEntry, StepRecord, Trainer } from './train/trainer.js';
export type { Training, TrainingData, TrainingOptions } from './train/training.js';
export { packTrits, unpackTrits } from './ternary/trits.js';
