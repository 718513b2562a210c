/** Reading whole inputs: files, URLs, and what can be read but once, such as pipes and standard input. */

import { closeSync, createReadStream, fstatSync, openSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import type { Readable as Stream } from 'node:stream';
import { WHOLE_BYTES_MAX } from '../src/artifact/byte-source.js';
import type { Readable } from '../src/artifact/unfinished-log.js';
import { isUrl } from '../src/artifact/url-request.js';
import { urlSource } from '../src/artifact/url-source.js';
import { readBounded } from '../src/data/bounded-file.js';
import { ConfigError, InputError, printable, TernseedError } from '../src/errors.js';
import { shown } from './output.js';
import { type Place, placeOf, STDIN } from './place.js';
import { unusable } from './system-error.js';

/** What a run of one's own leaves may be as large as one array. */
export const RUN_BYTES_MAX = 2 ** 32 - 1;

/** What pipes gave: a verb may ask for an input again, a pipe has nothing to say twice. */
const streams = new Map<string, Promise<Uint8Array>>();

/**
 * Reads an artifact or a model, by its path or its URL.
 * @throws {InputError} when it cannot be read, or has more than 2³⁰ bytes
 */
export async function readPathOrUrl(name: string): Promise<Uint8Array> {
  if (!isUrl(name)) return readBytes(name);
  return shown(`fetching ${printable(name)}`, 'bytes', async (watch) => {
    const source = await urlSource(name, watch);
    return source.read(0, source.size);
  });
}

/**
 * Reads a file, a pipe, or by the name `-` standard input.
 * @param most - bytes that it may have
 * @throws {InputError} when it cannot be read, or is longer
 */
export async function readBytes(name: string, most = WHOLE_BYTES_MAX): Promise<Uint8Array> {
  try {
    const place = placeOf(name, STDIN);
    const key = place.kind === 'descriptor' ? `${place.descriptor}` : `path ${name}`;
    const known = streams.get(key);
    if (known) return await known;
    const reading = shown(`reading ${printable(name)}`, 'bytes', ({ onProgress }) => {
      let done = 0;
      const came = (piece: Uint8Array, size: number) => {
        done += piece.length;
        onProgress?.(done, Math.max(done, size));
      };
      return place.kind === 'file' || isFolderOrDevice(place)
        ? readBounded(place.path, most, came)
        : readStream(name, place, most, came);
    });
    if (place.kind !== 'file') streams.set(key, reading);
    return await reading;
  } catch (cause) {
    throw cause instanceof TernseedError ? cause : unusable(name, 'to be readable', cause);
  }
}

/**
 * Opens a file that may be too large for memory; the caller closes it.
 * @throws {InputError} when it cannot be read
 */
export function openReadable(path: string): Readable & { close(): void } {
  const checked = <Result>(work: () => Result): Result => {
    try {
      return work();
    } catch (cause) {
      throw unusable(path, 'to be readable', cause);
    }
  };
  const file = checked(() => openSync(path, 'r'));
  return {
    size: checked(() => fstatSync(file).size),
    read: (offset, length) =>
      checked(() => {
        const bytes = new Uint8Array(length);
        let done = 0;
        for (let read = -1; read !== 0 && done < length; done += read) {
          read = readSync(file, bytes, done, length - done, offset + done);
        }
        return bytes.subarray(0, done);
      }),
    close: () => closeSync(file),
  };
}

/** What `readBounded` refuses by its own words. */
function isFolderOrDevice(place: Place): place is Place & { path: string } {
  if (place.kind !== 'other') return false;
  const { stats } = place;
  return stats.isDirectory() || stats.isCharacterDevice() || stats.isBlockDevice();
}

async function readStream(
  name: string,
  place: Place,
  most: number,
  came: (piece: Uint8Array, bytes: number) => void,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of streamOf(place) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > most) {
      throw new InputError(`"${printable(name)}" expected at most ${most} bytes, got more`);
    }
    chunks.push(chunk);
    came(chunk, 0);
  }
  const { buffer, byteOffset } = Buffer.concat(chunks);
  return new Uint8Array(buffer, byteOffset, length);
}

function streamOf(place: Place): Stream {
  if (place.kind !== 'descriptor') return createReadStream(place.path);
  if (place.descriptor === STDIN) return process.stdin; // which also waits where reading would not
  return createReadStream('', { fd: place.descriptor });
}

/**
 * Checks, before anything is read, that standard input is asked for once.
 * @param names - all that a verb is going to read
 * @throws {ConfigError} when it is asked for twice
 */
export function requireOneStdin(names: readonly string[]): void {
  const [, second] = names.filter(isStdin);
  if (second === undefined) return;
  throw new ConfigError(
    `"${printable(second)}" is standard input, which can be read once: name a file for all inputs but one`,
  );
}

function isStdin(name: string): boolean {
  if (name === '-') return true;
  if (isUrl(name)) return false;
  try {
    const place = placeOf(name, STDIN);
    return place.kind === 'descriptor' && place.descriptor === STDIN;
  } catch {
    return false;
  }
}

/** What an input is called where a header remembers it. */
export function inputName(name: string): string {
  return isStdin(name) ? 'stdin' : basename(name);
}
