/** Requests for files: how long a server may be silent, and how much it may send. */

import { expected, InputError } from '../errors.js';
import type { Watch } from '../watch.js';

/** A server that sends nothing for so long is given up, unless the caller says otherwise. */
const STALL_MS = 30_000;

/** How a URL is fetched. */
export interface UrlOptions extends Watch {
  /** A server that sends no byte for so many milliseconds is given up; 30,000 if left out. */
  readonly stallMs?: number;
}

/** Whether a name is a URL that is fetched. */
export function isUrl(name: string): boolean {
  return /^https?:\/\//i.test(name);
}

/**
 * Runs a request that is given up when no byte comes for too long, or when the caller's signal says so.
 * @param name - of the address, made safe for a terminal
 * @param work - hears that bytes came through `alive`
 * @throws {InputError} when nothing came for too long
 * @throws the reason of the caller's signal
 */
export async function withStallLimit<Result>(
  name: string,
  { stallMs = STALL_MS, signal }: { stallMs?: number | undefined; signal?: AbortSignal | null | undefined },
  work: (signal: AbortSignal, alive: () => void) => Promise<Result>,
): Promise<Result> {
  if (!(stallMs > 0 && stallMs < 2 ** 31)) {
    throw expected('stallMs', 'milliseconds above 0 and below 2^31', stallMs);
  }
  const abort = new AbortController();
  const giveUp = () => abort.abort(signal?.reason);
  if (signal?.aborted) giveUp();
  signal?.addEventListener('abort', giveUp);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    const stalled = () =>
      abort.abort(
        new InputError(`"${name}" expected bytes, got nothing for ${stallMs / 1000} s ("stallMs")`),
      );
    timer = setTimeout(stalled, stallMs);
  };
  try {
    alive();
    return await work(abort.signal, alive);
  } catch (cause) {
    throw abort.signal.aborted ? abort.signal.reason : cause;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', giveUp);
    abort.abort(); // of an answer that was refused, the rest is not wanted
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
