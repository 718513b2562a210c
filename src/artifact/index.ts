/**
 * `ternseed/artifact`: opening, rebuilding and running artifacts, with no training code.
 */

export type { Backend, Evaluation, Placed, Room } from '../backend/backend.js';
export { type Batch, batchOfWindows, type Score } from '../backend/batch.js';
export type { TextEvaluation, TextScore } from '../backend/evaluate.js';
export { type BackendChoice, openBackend } from '../backend/open.js';
export type { SampleOptions } from '../backend/sample.js';
export { ReferenceBackend } from '../backend/reference/reference.js';
export { openWasm, type WasmOptions } from '../backend/wasm/wasm.js';
export { ArtifactError, BackendError, ConfigError, InputError, TernseedError } from '../errors.js';
export { type Layer, type Network, type NetworkOptions, networkOf } from '../ternary/builders/perceptron.js';
export { type Model, type Tensor } from '../ternary/model.js';
export { type Transformer, type TransformerShape, transformerOf } from '../ternary/builders/transformer.js';
export type { LayerPrecision, Values } from '../ternary/precision.js';
export {
  type Artifact,
  type ArtifactKind,
  openArtifact,
  type Packed,
  type SeedLog,
  type SeedPool,
} from './artifact.js';
export { isOfPerceptron, perceptronArtifact, type PerceptronArtifact } from './perceptron.js';
export type { Header } from './header.js';
export type { PerceptronHeader } from './perceptron.js';
export { type ImageShape, type Inputs, inputsOf, type RawValues, scaleInputs } from './inputs.js';
export {
  evaluateExamples,
  evaluateText,
  load,
  openArtifactFrom,
  sample,
  urlSource,
  fileSource,
} from './on-demand.js';
export type {
  LoadedModel,
  LoadOptions,
  ModelSource,
  Pixels,
  Prediction,
  PredictOptions,
} from './loaded-model.js';
export { openUrl, type UrlRequest } from './open-url.js';
export { type ByteSource, blobSource, bytesSource } from './byte-source.js';
export type { DistantArtifact } from './open-from.js';
export type { UrlOptions } from './url-request.js';
export type { UrlSource } from './url-source.js';
export { rebuild, rebuildPart, rebuildRows, rebuildTensor, rebuildVerified, type Rows } from './rebuild.js';
export type { LogStep } from './seed-log.js';
export { weightsHash } from './weights-hash.js';
export type { Watch } from '../watch.js';
