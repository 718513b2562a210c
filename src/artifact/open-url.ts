/** Opening an artifact that a server has, in a page or in Node. */

import { ArtifactError, InputError, printable } from '../errors.js';
import { type Artifact, openArtifact } from './artifact.js';
import { WHOLE_BYTES_MAX } from './byte-source.js';
import { readBody, type UrlOptions, withStallLimit } from './url-request.js';

/** What `fetch` takes beside the address, and how long the server may be silent. */
export interface UrlRequest extends RequestInit, Pick<UrlOptions, 'stallMs' | 'onProgress'> {}

/**
 * Fetches a file and opens it.
 * @param url - absolute, or in a page relative to it
 * @param request - what `fetch` takes beside the address, such as a `signal` to give up by; `stallMs`, how long the
 *   server may send nothing, 30,000 ms if left out; `onProgress`, told of bytes
 * @throws {InputError} when no file comes: the server is not reached or not willing, or silent for too long
 * @throws {ArtifactError} when what comes is not an artifact
 * @example const artifact = await openUrl('models/mnist.tern');
 */
export async function openUrl(url: string | URL, request: UrlRequest = {}): Promise<Artifact> {
  const name = printable(String(url));
  const bytes = await withStallLimit(name, request, (signal, alive) =>
    download(url, name, { ...request, signal }, alive),
  );
  try {
    return openArtifact(bytes);
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    throw new ArtifactError(`"${name}": ${error.message}`, { cause: error });
  }
}

async function download(
  url: string | URL,
  name: string,
  { onProgress, ...request }: UrlRequest & { signal: AbortSignal },
  alive: () => void,
): Promise<Uint8Array> {
  try {
    const response = await fetch(url, request);
    if (!response.ok) {
      const status = printable(`${response.status} ${response.statusText}`.trim());
      throw new InputError(`"${name}" expected a file, got HTTP status ${status}`);
    }
    const told = Number(response.headers.get('content-length') ?? 0);
    let done = 0;
    const bytes = await readBody(response, WHOLE_BYTES_MAX, (length) => {
      alive();
      done += length;
      onProgress?.(done, Math.max(done, told));
    });
    if (bytes === null) {
      throw new InputError(`"${name}" expected a file of at most ${WHOLE_BYTES_MAX} bytes, got more`);
    }
    return bytes;
  } catch (cause) {
    // What the signal throws is the caller's, or says that the server was silent.
    if (cause instanceof InputError || request.signal.aborted) throw cause;
    const { message, cause: reason } = cause as Error;
    const why = printable(reason instanceof Error ? reason.message : message);
    throw new InputError(
      `"${name}" expected a file, got no answer: ${why}. Is the address right, and does its server allow this page (CORS)?`,
      { cause },
    );
  }
}
