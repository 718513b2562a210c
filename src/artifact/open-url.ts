/** Opening an artifact that a server has, in a page or in Node. */

import { ArtifactError, InputError, printable } from '../errors.js';
import { type Artifact, openArtifact } from './artifact.js';
import { readBody, WHOLE_BYTES_MAX } from './url-source.js';

/**
 * Fetches a file and opens it.
 * @param url - absolute, or in a page relative to it
 * @param request - what `fetch` takes beside the address, such as a `signal` to give up by
 * @throws {InputError} when no file comes: the server is not reached or not willing
 * @throws {ArtifactError} when what comes is not an artifact
 * @example const artifact = await openUrl('models/mnist.tern');
 */
export async function openUrl(url: string | URL, request?: RequestInit): Promise<Artifact> {
  const name = printable(String(url));
  const bytes = await download(url, name, request);
  try {
    return openArtifact(bytes);
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    throw new ArtifactError(`"${name}": ${error.message}`, { cause: error });
  }
}

async function download(url: string | URL, name: string, request?: RequestInit): Promise<Uint8Array> {
  try {
    const response = await fetch(url, request);
    if (!response.ok) {
      const status = printable(`${response.status} ${response.statusText}`.trim());
      throw new InputError(`"${name}" expected a file, got HTTP status ${status}`);
    }
    const bytes = await readBody(response, WHOLE_BYTES_MAX);
    if (bytes === null) {
      throw new InputError(`"${name}" expected a file of at most ${WHOLE_BYTES_MAX} bytes, got more`);
    }
    return bytes;
  } catch (cause) {
    // What the caller's signal throws is the caller's.
    if (cause instanceof InputError || request?.signal?.aborted) throw cause;
    const { message, cause: reason } = cause as Error;
    const why = printable(reason instanceof Error ? reason.message : message);
    throw new InputError(
      `"${name}" expected a file, got no answer: ${why}. Is the address right, and does its server allow this page (CORS)?`,
      { cause },
    );
  }
}
