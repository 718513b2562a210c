/** Reading whole inputs: files, URLs, and what can be read but once, such as pipes and standard input. */

import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Readable } from 'node:stream';
import { isUrl, urlSource } from '../src/artifact/url-source.js';
import { ConfigError, InputError, printable, TernseedError } from '../src/errors.js';
import { type Place, placeOf, STDIN } from './place.js';

/** Of a pipe, whose length nobody knows before: as much as of a URL, and as the longest text. */
const STREAM_BYTES_MAX = 2 ** 30;

/** What pipes gave: a verb may ask for an input again, a pipe has nothing to say twice. */
const streams = new Map<string, Promise<Uint8Array>>();

/**
 * Reads an artifact or a model, by its path or its URL.
 * @throws {InputError} when it cannot be read
 */
export async function readPathOrUrl(name: string): Promise<Uint8Array> {
  if (!isUrl(name)) return readBytes(name);
  const source = await urlSource(name);
  return source.read(0, source.size);
}

/**
 * Reads a file, a pipe, or by the name `-` standard input.
 * @throws {InputError} when it cannot be read
 */
export async function readBytes(name: string): Promise<Uint8Array> {
  try {
    const place = placeOf(name, STDIN);
    if (isWhole(place)) {
      const { buffer, byteOffset, length } = await readFile(place.path);
      return new Uint8Array(buffer, byteOffset, length);
    }
    const key = place.kind === 'descriptor' ? `${place.descriptor}` : `path ${name}`;
    const known = streams.get(key) ?? readStream(name, place);
    streams.set(key, known);
    return await known;
  } catch (cause) {
    throw cause instanceof TernseedError ? cause : unusable(name, 'to be readable', cause);
  }
}

/** Whether a place can be read again and again. */
function isWhole(place: Place): place is Place & { path: string } {
  return place.kind === 'file' || (place.kind === 'other' && place.stats.isDirectory());
}

async function readStream(name: string, place: Place): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of streamOf(place) as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > STREAM_BYTES_MAX) {
      throw new InputError(`"${printable(name)}" expected at most ${STREAM_BYTES_MAX} bytes, got more`);
    }
    chunks.push(chunk);
  }
  const { buffer, byteOffset } = Buffer.concat(chunks);
  return new Uint8Array(buffer, byteOffset, length);
}

function streamOf(place: Place): Readable {
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

/** A system's error in our wording. */
export function unusable(path: string, what: string, cause: unknown): InputError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const reasons: Record<string, string> = {
    ENOENT: 'no such file or folder',
    ENOTDIR: 'a file where a folder should be',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'a read-only file system',
    EISDIR: 'a folder',
    ENOSPC: 'no space left on the disk',
    EDQUOT: 'no space left in the quota',
    ELOOP: 'a loop of symbolic links',
    EPIPE: 'a reader that has gone',
    ENXIO: 'nobody at its other end',
    EBADF: 'a descriptor that is not open',
    EBUSY: 'a mount point, which cannot be replaced',
    ENAMETOOLONG: 'a name that is too long',
  };
  return new InputError(`"${printable(path)}" expected ${what}, got ${reasons[code ?? ''] ?? message}`, {
    cause,
  });
}
