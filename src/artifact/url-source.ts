/**
 * A source of a URL by HTTP range requests (RFC 9110, section 14). A server that ignores them sends the
 * whole file at once: then that is what is read from, and `ranged` says so. A server that answers
 * something else than what was asked is refused; nothing it declares is allocated before it has come.
 */

import { InputError, printable } from '../errors.js';
import { type ByteSource, checkRange } from './byte-source.js';

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
/** A file may not be larger: one allocation that any machine grants. */
export const WHOLE_BYTES_MAX = 2 ** 30;
/** A server that sends nothing for so long is given up. */
const STALL_MS = 30_000;

/**
 * Opens a URL.
 * @param url - http or https
 * @throws {InputError} when it cannot be read, or the server does not keep to HTTP
 * @example const artifact = await openArtifactFrom(await urlSource('https://example.org/mnist.tern'));
 */
export async function urlSource(url: string): Promise<UrlSource> {
  const session = new Session(url);
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

/** Whether a name is a URL that {@link urlSource} takes. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name);
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

  constructor(readonly url: string) {}

  fault(what: string, got: string, cause?: unknown): InputError {
    const message = `"${printable(this.url)}" expected ${what}, got ${printable(got)}`;
    return new InputError(message, cause === undefined ? undefined : { cause });
  }

  async request(offset: number, length: number): Promise<Answer> {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(new Error(`nothing for ${STALL_MS / 1000} s`)), STALL_MS);
    };
    try {
      wait();
      const response = await this.#ask(offset, length, abort.signal);
      return await this.#answer(response, offset, length, wait);
    } catch (cause) {
      if (cause instanceof InputError) throw cause;
      const { message, cause: deeper } = cause as Error;
      const reason = deeper instanceof Error ? `${message}: ${deeper.message}` : message;
      throw this.fault('to be readable', reason, cause);
    } finally {
      clearTimeout(timer);
      abort.abort(); // of an answer that was refused, the rest is not wanted
    }
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

  async #answer(response: Response, offset: number, length: number, wait: () => void): Promise<Answer> {
    const { status, headers } = response;
    const version = headers.get('etag') ?? headers.get('last-modified') ?? '';
    if (status === 200) {
      const bytes = await this.#body(response, WHOLE_BYTES_MAX, wait);
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
    const bytes = await this.#body(response, wanted, wait);
    if (bytes.length !== wanted) throw this.fault(`${wanted} bytes at byte ${offset}`, `${bytes.length}`);
    return { ranged: true, bytes, size, version };
  }

  async #body(response: Response, most: number, wait: () => void): Promise<Uint8Array> {
    const bytes = await readBody(response, most, (length) => {
      wait();
      this.fetchedBytes += length;
    });
    if (bytes === null) throw this.fault(`at most ${most} bytes`, 'more');
    return bytes;
  }
}

/**
 * The body of an answer; its room grows as it comes.
 * @param most - bytes that it may have
 * @param came - told of each piece's length
 * @returns null when it is longer
 */
export async function readBody(
  response: Response,
  most: number,
  came?: (length: number) => void,
): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    const chunk = next.value as Uint8Array;
    length += chunk.length;
    came?.(chunk.length);
    if (length > most) {
      await reader?.cancel();
      return null;
    }
    chunks.push(chunk);
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
