/**
 * Deltas: artifacts that change the weights of another one, their base, which they name by the hash of its weights.
 * Seeds begin with the base's trits instead of an initial draw; packed weights are differences to the base's, which
 * are mostly none and cost next to nothing. A base may be a delta itself.
 */

import { ArtifactError } from '../errors.js';
import type { Model, Tensor } from '../ternary/model.js';
import { VALUE_RANGES } from '../ternary/precision.js';
import type { Opened } from './artifact.js';
import { PREAMBLE_BYTES } from './container.js';
import { weightsHash } from './weights-hash.js';

/** The longest chain of deltas: a limit for readers, who must not be led in circles. */
export const CHAIN_MAX = 16;

/**
 * The base's weights, if an artifact has a base.
 * @param base - what it is said to be; of an artifact without a base, nothing
 * @returns null where there is no base
 * @throws {ArtifactError} naming the hash, when a base is missing, or other weights were given, or needless ones
 */
export async function checkedBase(
  artifact: Pick<Opened, 'header' | 'network'>,
  base: Int8Array | undefined,
): Promise<Int8Array | null> {
  const given = requireBase(artifact, base);
  if (given === null) return null;
  const { header, network } = artifact;
  const got = await weightsHash(given, network.tensors);
  if (got === header.base?.hash) return given;
  throw fault(`expected a base whose weights have the hash ${header.base?.hash}, got ${got}`);
}

/**
 * The same without a look at its hash.
 * @throws {ArtifactError} when a base is missing, of other weights than the model has, or needless
 */
export function requireBase(
  { header, network }: Pick<Opened, 'header' | 'network'>,
  base: Int8Array | undefined,
): Int8Array | null {
  if (header.base === undefined) {
    if (base) throw fault('expected no base: the artifact is no delta');
    return null;
  }
  if (base?.length === network.parameters) return base;
  if (base) throw fault(`expected a base of ${network.parameters} weights, got ${base.length}`);
  throw fault(`expected a base whose weights have the hash ${header.base.hash}, got none`);
}

/**
 * What turns a base's values into others, a value of the same range for each: the difference, wrapped around the
 * range, so that a tensor of differences is coded as one of values.
 * @param base - the values of all tensors in model order, and so `values`
 */
export function differences({ tensors }: Model, base: Int8Array, values: Int8Array): Int8Array {
  return combined(tensors, values, (at, range) => wrapped(values[at] - base[at] + range.none, range));
}

/** The values that {@link differences} were taken of. */
export function withDifferences({ tensors }: Model, base: Int8Array, changes: Int8Array): Int8Array {
  return combined(tensors, changes, (at, range) => wrapped(base[at] + changes[at] - range.none, range));
}

interface Range {
  readonly least: number;
  readonly count: number;
  /** The value that stands for no difference: 0 where there is one. */
  readonly none: number;
}

function combined(
  tensors: readonly Tensor[],
  { length }: Int8Array,
  value: (at: number, range: Range) => number,
): Int8Array {
  const all = new Int8Array(length);
  for (const { values, offset, rows, columns } of tensors) {
    const [least, largest] = VALUE_RANGES[values];
    const range = { least, count: largest - least + 1, none: Math.max(0, least) };
    for (let at = offset; at < offset + rows * columns; at++) all[at] = value(at, range);
  }
  return all;
}

function wrapped(value: number, { least, count }: Range): number {
  return least + ((((value - least) % count) + count) % count);
}

function fault(what: string): ArtifactError {
  return new ArtifactError(`header at byte ${PREAMBLE_BYTES}: ${what}`);
}
