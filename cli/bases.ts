/**
 * The bases of deltas: found by the hash of their weights among the files that `--base` names and, by the name that
 * the delta remembers, in its own folder. A base that is a delta needs its own base, and so on.
 */

import { dirname, join } from 'node:path';
import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { CHAIN_MAX } from '../src/artifact/delta.js';
import type { Base } from '../src/artifact/header.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { isUrl } from '../src/artifact/url-request.js';
import type { Backend } from '../src/backend/backend.js';
import { ArtifactError, InputError, printable } from '../src/errors.js';
import type { Destination } from './destination.js';
import { readPathOrUrl } from './files.js';
import { shown } from './output.js';
import { identityOf } from './place.js';

/** The files that `--base` named. */
export interface BaseOptions {
  readonly base?: readonly string[];
}

/** A file that some delta needs. */
interface FoundBase {
  readonly path: string;
  readonly artifact: Artifact;
}

/**
 * The weights of an artifact's base.
 * @param file - the artifact's path or URL
 * @param out - what is going to be written: none of the bases
 * @returns undefined where it has none
 * @throws {ArtifactError} naming the hash, when the base is not found
 * @throws {ConfigError} when a base would be written over
 */
export async function baseOf(
  artifact: Pick<Artifact, 'header'>,
  file: string,
  { base: named = [] }: BaseOptions,
  backend: Backend,
  out?: Destination,
): Promise<Int8Array | undefined> {
  const wanted = artifact.header.base;
  return wanted && rebuildBase(wanted, file, named, backend, out);
}

/**
 * All weights of an artifact, on its base if it has one, and compared with its hash.
 * @throws {ArtifactError} when the base is not found, or they are not those that were trained
 * @throws {ConfigError} when a base would be written over
 */
export async function rebuildOnBase(
  artifact: Artifact,
  file: string,
  options: BaseOptions,
  backend: Backend,
  out?: Destination,
): Promise<Int8Array> {
  const base = await baseOf(artifact, file, options, backend, out);
  return shown(`rebuilding ${printable(file)}`, 'steps', (watch) =>
    rebuildVerified(artifact, backend, base, watch),
  );
}

/**
 * Rebuilds the base that somebody wants.
 * @param file - of the delta; its folder is looked into
 * @throws as {@link baseOf} does
 */
export async function rebuildBase(
  wanted: Base,
  file: string,
  named: readonly string[],
  backend: Backend,
  out?: Destination,
): Promise<Int8Array> {
  const chain = await findChain(wanted, file, named);
  out?.keepClearOf(chain.map(({ path }) => path));
  let weights: Int8Array | undefined;
  for (const { path, artifact } of chain.reverse()) {
    const under = weights;
    weights = await shown(`rebuilding ${printable(path)}`, 'steps', (watch) =>
      rebuildVerified(artifact, backend, under, watch),
    );
  }
  return weights as Int8Array;
}

/** The files that a delta needs, its own base first and the one without a base last. */
async function findChain(first: Base, delta: string, named: readonly string[]): Promise<FoundBase[]> {
  const chain: FoundBase[] = [];
  const used = new Set([identityOf(delta)]); // no file is its own base, nor that of its bases
  let file = delta;
  for (let wanted: Base | undefined = first; wanted; wanted = chain.at(-1)?.artifact.header.base) {
    if (chain.length === CHAIN_MAX) {
      throw new ArtifactError(`${wish(file, wanted)}: more than ${CHAIN_MAX} deltas follow one another`);
    }
    const found = await findBase(wanted, file, named, used);
    chain.push(found);
    file = found.path;
    used.add(identityOf(file));
  }
  return chain;
}

async function findBase(
  wanted: Base,
  file: string,
  named: readonly string[],
  used: ReadonlySet<string | null>,
): Promise<FoundBase> {
  // A name from a file leads nowhere but into that file's folder.
  const beside = isUrl(file) || /[\\/\0]/.test(wanted.name) ? [] : [join(dirname(file), wanted.name)];
  const others: string[] = [];
  const fitting: FoundBase[] = [];
  for (const path of [...named, ...beside]) {
    const identity = identityOf(path);
    if (identity !== null && used.has(identity)) {
      others.push(`"${printable(path)}", which cannot be a base of itself`);
      continue;
    }
    const artifact = await openCandidate(path, named.includes(path));
    if (artifact === null) continue;
    if (artifact.weightsHash === wanted.hash) fitting.push({ path, artifact });
    else others.push(`"${printable(path)}" with ${artifact.weightsHash}`);
  }
  // One that stands alone spares us the search for its base.
  const found = fitting.find(({ artifact }) => !artifact.header.base) ?? fitting[0];
  if (found) return found;
  throw new ArtifactError(
    `${wish(file, wanted)}, got ${others.length > 0 ? others.join(', ') : 'none'}: name it with "--base"`,
  );
}

function wish(file: string, { name, hash }: Base): string {
  return `"${printable(file)}" expected its base "${printable(name)}", whose weights have the hash ${hash}`;
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
