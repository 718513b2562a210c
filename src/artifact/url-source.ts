/**
 * A source of a URL by HTTP range requests (RFC 9110, section 14). A server that ignores them sends the
 * whole file at once: then that is what is read from, and `ranged` says so. A server that answers
 * something else than what was asked is refused; nothing it declares is allocated before it has come.
 */

import { InputError, printable } from '../errors.js';
import { type ByteSource, checkRange, WHOLE_BYTES_MAX } from './byte-source.js';
import { readBody, type UrlOptions, withStallLimit } from './url-request.js';

/** A source that counts what it cost. */
export interface UrlSource extends ByteSource {
  /** Whether the server answers range requests; if not, the whole file was fetched at once. */
  readonly ranged: boolean;
  /** Bytes of bodies so far. */
  readonly fetchedBytes: number;
  readonly requests: number;
}

/** The first request: enough for the opening of nearly every artifact, and it tells the size. */
export const FIRST_BYTES = 4096;
/**
 * Opens a URL.
 * @param url - http or https
 * @param options - a signal to give up by, progress in bytes of each range, and how long the server may be silent
 * @throws {InputError} when it cannot be read, or the server does not keep to HTTP, or sends nothing for too long
 * @throws {ConfigError} when `stallMs` is no number of milliseconds
 * @example const artifact = await openArtifactFrom(await urlSource('https://example.org/mnist.tern'));
 */
export async function urlSource(url: string, options: UrlOptions = {}): Promise<UrlSource> {
  const session = new Session(url, options);
  const first = await session.request(0, FIRST_BYTES);
  const { size } = first;
  if (size > WHOLE_BYTES_MAX) throw session.fault(`at most ${WHOLE_BYTES_MAX} bytes`, `${size}`);
  return {
    name: url,
    size,
    ranged: first.ranged,
    get fetchedBytes() {
      return session.fetchedBytes;
    },
    get requests() {
      return session.requests;
    },
    read: async (offset, length) => {
      checkRange(size, offset, length);
      if (offset + length <= first.bytes.length) return first.bytes.subarray(offset, offset + length);
      const next = await session.request(offset, length);
      if (next.ranged && next.size === size && next.version === first.version) return next.bytes;
      throw session.fault('the file that was opened', 'another: it was changed while it was read');
    },
    close: async () => {},
  };
}

interface Answer {
  readonly ranged: boolean;
  /** The range, or the whole file. */
  readonly bytes: Uint8Array;
  /** Of the whole file. */
  readonly size: number;
  /** What changes when the file does; empty where the server does not say. */
  readonly version: string;
}

class Session {
  fetchedBytes = 0;
  requests = 0;

  constructor(
    readonly url: string,
    readonly options: UrlOptions,
  ) {}

  fault(what: string, got: string, cause?: unknown): InputError {
    const message = `"${printable(this.url)}" expected ${what}, got ${printable(got)}`;
    return new InputError(message, cause === undefined ? undefined : { cause });
  }

  async request(offset: number, length: number): Promise<Answer> {
    return withStallLimit(printable(this.url), this.options, async (signal, alive) => {
      try {
        const response = await this.#ask(offset, length, signal);
        return await this.#answer(response, offset, length, alive);
      } catch (cause) {
        if (cause instanceof InputError || signal.aborted) throw cause;
        const { message, cause: deeper } = cause as Error;
        const reason = deeper instanceof Error ? `${message}: ${deeper.message}` : message;
        throw this.fault('to be readable', reason, cause);
      }
    });
  }

  /** Asks twice before it gives up: a server may close a connection that was kept just when it is used again. */
  async #ask(offset: number, length: number, signal: AbortSignal): Promise<Response> {
    // A compressed answer would have other offsets.
    const headers = { range: `bytes=${offset}-${offset + length - 1}`, 'accept-encoding': 'identity' };
    this.requests += 1;
    try {
      return await fetch(this.url, { headers, signal });
    } catch (error) {
      if (signal.aborted) throw error;
      this.requests += 1;
      return fetch(this.url, { headers, signal });
    }
  }

  async #answer(response: Response, offset: number, length: number, alive: () => void): Promise<Answer> {
    const { status, headers } = response;
    const version = headers.get('etag') ?? headers.get('last-modified') ?? '';
    if (status === 200) {
      const told = Number(headers.get('content-length') ?? 0);
      const bytes = await this.#body(response, WHOLE_BYTES_MAX, told, alive);
      return { ranged: false, bytes, size: bytes.length, version };
    }
    if (status === 416 && offset === 0) throw this.fault('an artifact', 'an empty file');
    if (status !== 206) throw this.fault('to be readable', `status ${status} ${response.statusText}`);
    const encoding = headers.get('content-encoding') ?? 'identity';
    if (encoding !== 'identity') throw this.fault('bytes as they are', `them in ${encoding}`);
    const told = headers.get('content-range');
    if (told === null) {
      throw this.fault(
        'a Content-Range with its range',
        'none: from another origin the server must expose it by Access-Control-Expose-Headers',
      );
    }
    const [, from, to, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(told) ?? [];
    const size = Number(total);
    const last = Math.min(offset + length, size) - 1;
    if (total === undefined || Number(from) !== offset || Number(to) !== last) {
      throw this.fault(`bytes ${offset}-${offset + length - 1}`, `"${told}"`);
    }
    const wanted = last + 1 - offset;
    const bytes = await this.#body(response, wanted, wanted, alive);
    if (bytes.length !== wanted) throw this.fault(`${wanted} bytes at byte ${offset}`, `${bytes.length}`);
    return { ranged: true, bytes, size, version };
  }

  /** @param told - how long the server says that it is, for progress */
  async #body(response: Response, most: number, told: number, alive: () => void): Promise<Uint8Array> {
    let done = 0;
    const bytes = await readBody(response, most, (length) => {
      alive();
      this.fetchedBytes += length;
      done += length;
      this.options.onProgress?.(done, Math.max(done, told));
    });
    if (bytes === null) throw this.fault(`at most ${most} bytes`, 'more');
    return bytes;
  }
}
