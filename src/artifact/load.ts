/** `load`: a model to predict with. What it takes is loaded when it is called, so that pages which do not stay small. */

import type { LoadedModel, LoadOptions, ModelSource } from './loaded-model.js';

/**
 * Loads a model, checks its weights against the hash in the artifact, and makes it ready to predict.
 * @param source - bytes, a File or Blob, a URL, or a path in Node; a page takes any text as a URL
 * @throws {InputError} when the artifact cannot be read
 * @throws {ArtifactError} when it is damaged, or a base is missing
 * @throws {BackendError} when the backend that was named cannot run here
 * @example
 * const model = await load('mnist.tern');
 * const { label, probability } = await model.predict(pixels);
 * await model.close();
 */
export async function load(source: ModelSource, options?: LoadOptions): Promise<LoadedModel> {
  const { loadModel } = await import('./loaded-model.js');
  return loadModel(source, options);
}
