/**
 * The bases of deltas: found by the hash of their weights among the files that `--base` names and, by the name that
 * the delta remembers, in its own folder. A base that is a delta needs its own base, and so on.
 */

import { dirname, join } from 'node:path';
import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { CHAIN_MAX } from '../src/artifact/delta.js';
import type { Base } from '../src/artifact/header.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { isUrl } from '../src/artifact/url-source.js';
import type { Backend } from '../src/backend/backend.js';
import { ArtifactError, InputError, printable } from '../src/errors.js';
import { readPathOrUrl } from './files.js';
import { shown } from './output.js';

/** The files that `--base` named. */
export interface BaseOptions {
  readonly base?: readonly string[];
}

/**
 * The weights of an artifact's base.
 * @param file - the artifact's path or URL
 * @returns undefined where it has none
 * @throws {ArtifactError} naming the hash, when the base is not found
 */
export async function baseOf(
  artifact: Pick<Artifact, 'header'>,
  file: string,
  { base: named = [] }: BaseOptions,
  backend: Backend,
): Promise<Int8Array | undefined> {
  const wanted = artifact.header.base;
  return wanted && rebuildBase(wanted, file, named, backend);
}

/**
 * All weights of an artifact, on its base if it has one, and compared with its hash.
 * @throws {ArtifactError} when the base is not found, or they are not those that were trained
 */
export async function rebuildOnBase(
  artifact: Artifact,
  file: string,
  options: BaseOptions,
  backend: Backend,
): Promise<Int8Array> {
  const base = await baseOf(artifact, file, options, backend);
  return shown(`rebuilding ${printable(file)}`, 'steps', (watch) =>
    rebuildVerified(artifact, backend, base, watch),
  );
}

/**
 * Rebuilds the base that somebody wants.
 * @param file - of the delta; its folder is looked into
 * @param left - how many deltas may still follow
 */
export async function rebuildBase(
  wanted: Base,
  file: string,
  named: readonly string[],
  backend: Backend,
  left = CHAIN_MAX,
): Promise<Int8Array> {
  const what = `"${printable(file)}" expected its base "${printable(wanted.name)}", whose weights have the hash ${wanted.hash}`;
  if (left === 0) throw new ArtifactError(`${what}: more than ${CHAIN_MAX} deltas follow one another`);
  // A name from a file leads nowhere but into that file's folder.
  const beside = isUrl(file) || /[\\/\0]/.test(wanted.name) ? [] : [join(dirname(file), wanted.name)];
  const others: string[] = [];
  for (const path of [...named, ...beside]) {
    const candidate = await openCandidate(path, named.includes(path));
    if (candidate === null) continue;
    if (candidate.weightsHash !== wanted.hash) {
      others.push(`"${printable(path)}" with ${candidate.weightsHash}`);
      continue;
    }
    const next = candidate.header.base;
    const under = next && (await rebuildBase(next, path, named, backend, left - 1));
    return shown(`rebuilding ${printable(path)}`, 'steps', (watch) =>
      rebuildVerified(candidate, backend, under, watch),
    );
  }
  throw new ArtifactError(
    `${what}, got ${others.length > 0 ? others.join(', ') : 'none'}: name it with "--base"`,
  );
}

/** Null where nobody named the file and it is not there. */
async function openCandidate(path: string, named: boolean): Promise<Artifact | null> {
  try {
    return openArtifact(await readPathOrUrl(path));
  } catch (error) {
    if (!named && error instanceof InputError) return null;
    throw error;
  }
}
