/** What not every page has a use for: loaded when it is called, so that the others stay small. */

import type { Placed } from '../backend/backend.js';
import type { LabelledExamples, Score } from '../backend/batch.js';
import type { TextEvaluation, TextScore } from '../backend/evaluate.js';
import type { SampleOptions } from '../backend/sample.js';
import type { Watch } from '../watch.js';
import type { ByteSource } from './byte-source.js';
import type { LoadedModel, LoadOptions, ModelSource } from './loaded-model.js';
import type { DistantArtifact } from './open-from.js';
import type { UrlOptions } from './url-request.js';
import type { UrlSource } from './url-source.js';

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

/**
 * Opens an artifact of which only the parts that are asked for are read.
 * @throws {ArtifactError} naming the section and the offset of the fault
 * @example const artifact = await openArtifactFrom(await urlSource('https://example.org/mnist.tern'));
 */
export async function openArtifactFrom(source: ByteSource): Promise<DistantArtifact> {
  return (await import('./open-from.js')).openArtifactFrom(source);
}

/**
 * A source of a file by its path, which stays open until `close`. Only for Node; a browser has Files and Blobs.
 * @throws {InputError} when it cannot be opened, is no file, or has more than 2³⁰ bytes
 */
export async function fileSource(file: string | URL): Promise<ByteSource> {
  return (await import('./file-source.js')).fileSource(file);
}

/**
 * A source of a URL that reads ranges.
 * @throws {InputError} when it cannot be read, or the server does not keep to HTTP, or sends nothing for too long
 */
export async function urlSource(url: string, options?: UrlOptions): Promise<UrlSource> {
  return (await import('./url-source.js')).urlSource(url, options);
}

/**
 * Evaluates a text. Each byte but the first is predicted once, by what its window has before it.
 * @throws {ConfigError} when a number is out of range, or the text has nothing to predict
 */
export async function evaluateText(
  placed: Pick<Placed, 'graph' | 'load' | 'evaluate'>,
  text: Uint8Array,
  options: TextEvaluation,
): Promise<TextScore> {
  return (await import('../backend/evaluate.js')).evaluateText(placed, text, options);
}

/**
 * Evaluates all examples.
 * @param watch - progress in examples, and a signal to give up by
 * @example const { accuracy } = await evaluateExamples(placed, data.test);
 */
export async function evaluateExamples(
  placed: Placed,
  examples: LabelledExamples,
  watch?: Watch,
): Promise<Score> {
  return (await import('../backend/evaluate.js')).evaluateExamples(placed, examples, watch);
}

/**
 * Makes bytes of a text one by one. When the context is full, its later half is taken again from the start.
 * @throws {ConfigError} when an option is out of range
 * @example for await (const byte of sample(placed, options)) write(byte);
 */
export async function* sample(placed: Placed, options: SampleOptions): AsyncGenerator<number> {
  yield* (await import('../backend/sample.js')).sample(placed, options);
}
