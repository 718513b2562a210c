// What must hold of every reader: it refuses with an error of its own class that names a place within the file,
// or it gives what the file's hash says.

import { createHash } from 'node:crypto';
import { packWeights } from '../../dist/src/artifact/weights-hash.js';
import { ArtifactError, ConfigError, InputError } from '../../dist/src/errors.js';

/** A promise that was broken. */
export class Failure extends Error {}

/** What a reader gives, or null where it refuses as it should. */
export function read(reader, bytes, refusal) {
  try {
    return reader(bytes);
  } catch (error) {
    refusal(error, bytes);
    return null;
  }
}

/** The same of a reader that takes its time. */
export async function readLater(reader, bytes, refusal) {
  try {
    return await reader(bytes);
  } catch (error) {
    refusal(error, bytes);
    return null;
  }
}

/** Characters that a terminal would obey, or that would hide others. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

function requirePrintable({ name, message }) {
  if (UNPRINTABLE.test(message)) throw new Failure(`an unprintable ${name}: ${JSON.stringify(message)}`);
}

function requirePlace(error, pattern, bytes) {
  requirePrintable(error);
  const place = pattern.exec(error.message);
  if (!place || Number(place[1]) > bytes.length) {
    throw new Failure(`an ${error.name} without a place in ${bytes.length} bytes: ${error.message}`);
  }
}

export function artifactRefusal(error, bytes) {
  if (!(error instanceof ArtifactError)) throw new Failure(`not an ArtifactError: ${error?.stack ?? error}`);
  requirePlace(error, /^[a-z -]+ at byte (\d+): /, bytes);
}

export function inputRefusal(error, bytes) {
  if (!(error instanceof InputError)) throw new Failure(`not an InputError: ${error?.stack ?? error}`);
  if (error.message.includes('expected an undamaged gzip file')) return; // the library does not say where
  requirePlace(error, /, at byte (\d+)$/, bytes);
}

export function modelRefusal(error, bytes) {
  if (!(error instanceof InputError)) throw new Failure(`not an InputError: ${error?.stack ?? error}`);
  requirePlace(error, /^safetensors: .+? at byte (\d+): /s, bytes);
}

/** A source's own fault has no place in the file; it must be of the source's class. */
export function sourceRefusal(error, bytes) {
  if (error instanceof InputError) return requirePrintable(error);
  artifactRefusal(error, bytes);
}

export function configRefusal(error) {
  if (!(error instanceof ConfigError)) throw new Failure(`not a ConfigError: ${error?.stack ?? error}`);
  requirePrintable(error);
  if (!/^"\w+" expected /.test(error.message)) {
    throw new Failure(`a ConfigError without a name: ${error.message}`);
  }
}

/** weightsHash by another implementation of SHA-256 than the readers use. */
export const hashOf = (weights, tensors) =>
  createHash('sha256').update(packWeights(weights, tensors)).digest('hex');

/** Rebuilding is tried where it is no more than this many weights and moves of weights. */
const PACKED_WEIGHTS_MAX = 2 ** 16;
const REBUILD_WEIGHTS_MAX = 4096;
const REBUILD_MOVES_MAX = 65_536;

/** Whether an opened artifact is small enough to be rebuilt here. */
export function isSmall({ kind, header, network, steps }) {
  const directions = header.directions.reduce((sum, one) => sum + one, 0);
  const moves =
    kind === 'log' ? steps * (Math.min(network.parameters, directions * 16) + 1) : network.parameters;
  // Of packed weights everything is decoded when they are opened.
  if (kind === 'packed') return network.parameters <= PACKED_WEIGHTS_MAX;
  return network.parameters <= REBUILD_WEIGHTS_MAX && moves <= REBUILD_MOVES_MAX;
}
