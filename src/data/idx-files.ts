/** The four IDX files of a folder, under the names that they have in use. Only for Node. */

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { InputError, printable } from '../errors.js';
import type { NamedArray, RawPart } from './examples.js';
import { gunzipBounded, parseIdx, UNPACKED_LIMIT_BYTES } from './idx.js';

interface IdxFile extends NamedArray {
  readonly bytes: Uint8Array;
}

/** What the files of a folder hold, and what they are known by. */
export interface IdxFolder {
  readonly train: RawPart;
  readonly test: RawPart;
  /**
   * SHA-256 in hex over the four IDX files one after another, unpacked: training images and labels, test images
   * and labels. So it covers the values before they are scaled, and their shapes.
   */
  readonly hash: string;
}

/** As Yann LeCun's page names them; the order is that of the hash. */
const ROLES = [
  { part: 'train', what: 'images', usual: 'train-images-idx3-ubyte' },
  { part: 'train', what: 'labels', usual: 'train-labels-idx1-ubyte' },
  { part: 't10k|test', what: 'images', usual: 't10k-images-idx3-ubyte' },
  { part: 't10k|test', what: 'labels', usual: 't10k-labels-idx1-ubyte' },
] as const;
/** What may follow, in any order and case, after `-`, `.` or `_`. */
const ENDINGS = 'idx\\d?|ubyte|byte|short|int|float|double|gz';

/**
 * Reads the four IDX files of a folder.
 * @throws {InputError} when one is missing or damaged, or two that differ could be meant
 */
export async function readIdxFolder(directory: string): Promise<IdxFolder> {
  const about = await stat(directory).catch(missing);
  if (!about?.isDirectory()) {
    const got = about === undefined ? 'nothing there' : 'a file';
    throw new InputError(`"${printable(directory)}" expected a directory of four IDX files, got ${got}`);
  }
  const names = (await readdir(directory).catch((cause) => unreadable(directory, cause))).sort();
  const files: IdxFile[] = [];
  for (const role of ROLES) files.push(await readRole(directory, names, role));
  const [trainImages, trainLabels, testImages, testLabels] = files;
  return {
    train: { images: trainImages, labels: trainLabels },
    test: { images: testImages, labels: testLabels },
    hash: await hashOf(files),
  };
}

/** The one file of a role; several are as good as one where they hold the same. */
async function readRole(
  directory: string,
  names: readonly string[],
  { part, what, usual }: (typeof ROLES)[number],
): Promise<IdxFile> {
  const pattern = new RegExp(`^([a-z0-9].*[-_.])?(${part})[-_.]${what}([-_.](${ENDINGS}))*$`, 'i');
  const found = names.filter((name) => pattern.test(name));
  const [first, ...others] = found;
  if (first === undefined) {
    const example = usual.replace('t10k', 'test');
    throw new InputError(
      `"${printable(directory)}" expected a file such as ${usual}${example === usual ? '' : ` or ${example}`}, ` +
        'or the same with .gz, got none',
    );
  }
  const file = await readIdx(join(directory, first));
  for (const name of others) {
    const other = await readBytes(join(directory, name));
    if (Buffer.compare(other, file.bytes) === 0) continue;
    throw new InputError(
      `"${printable(directory)}" expected one file of ${part === 'train' ? 'training' : 'test'} ${what}, ` +
        `got ${found.map(printable).join(' and ')}, which differ: keep the one that is meant`,
    );
  }
  return file;
}

async function readIdx(path: string): Promise<IdxFile> {
  const bytes = await readBytes(path);
  return { name: path, bytes, ...parseIdx(bytes, path) };
}

/** A file's bytes, unpacked; a server may have packed them once more. */
async function readBytes(path: string): Promise<Uint8Array> {
  const about = await stat(path).catch((cause) => unreadable(path, cause));
  if (!about.isFile() || about.size > UNPACKED_LIMIT_BYTES) {
    const got = about.isFile() ? `${about.size}` : 'something else';
    throw new InputError(
      `"${printable(path)}" expected a file up to ${UNPACKED_LIMIT_BYTES} bytes, got ${got}`,
    );
  }
  const { buffer, byteOffset, length } = await readFile(path).catch((cause) => unreadable(path, cause));
  const once = gunzipBounded(new Uint8Array(buffer, byteOffset, length), path, UNPACKED_LIMIT_BYTES);
  return gunzipBounded(once, path, UNPACKED_LIMIT_BYTES);
}

function missing(cause: NodeJS.ErrnoException): undefined {
  if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return undefined;
  return unreadable(cause.path ?? 'data', cause);
}

function unreadable(path: string, cause: NodeJS.ErrnoException): never {
  throw new InputError(`"${printable(path)}" expected to be readable, got ${cause.code ?? cause.message}`, {
    cause,
  });
}

async function hashOf(files: readonly IdxFile[]): Promise<string> {
  const all = new Uint8Array(files.reduce((sum, file) => sum + file.bytes.length, 0));
  let offset = 0;
  for (const { bytes } of files) {
    all.set(bytes, offset);
    offset += bytes.length;
  }
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', all));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
