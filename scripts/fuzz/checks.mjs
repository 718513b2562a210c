// What must hold of every reader: it refuses with an error of its own class that names a place within the file,
// or it gives what the file's hash says.

import { createHash } from 'node:crypto';
import { openArtifact } from '../../dist/src/artifact/artifact.js';
import { readUnfinishedLog } from '../../dist/src/artifact/unfinished-log.js';
import { packWeights } from '../../dist/src/artifact/weights-hash.js';
import { StepWork, workMax } from '../../dist/src/artifact/work.js';
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
  requirePlace(error, /, at byte (\d+)(?:: |$)/, bytes);
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

/** Rebuilding is tried where it is no more than this many weights, which the header declares. */
const PACKED_WEIGHTS_MAX = 2 ** 16;
const REBUILD_WEIGHTS_MAX = 4096;

/** Whether an opened artifact has few enough weights to be rebuilt here, however much work its steps ask for. */
export function isSmall({ kind, network }) {
  // Of packed weights everything is decoded when they are opened.
  return network.parameters <= (kind === 'packed' ? PACKED_WEIGHTS_MAX : REBUILD_WEIGHTS_MAX);
}

/** What a unit of a log's work may take, as often as a check rebuilds it. */
const WORK_MS = 2e-4;
const REBUILDS = 8;

/** Milliseconds that a log may take beside others, for the work that it asks for and its bytes are worth. */
export function workMs(bytes) {
  let log;
  try {
    log =
      bytes.length > 0 && [openArtifact, readUnfinishedLog].map((open) => attempt(open, bytes)).find(Boolean);
    if (!log?.replaySteps) return 0;
    const cost = new StepWork(log.header);
    let work = 0;
    for (const { nonzeros, coefficients } of log.replaySteps()) {
      work += cost.before(nonzeros) + cost.moves(nonzeros, coefficients);
    }
    return work * WORK_MS * REBUILDS;
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    return workMax(bytes.length) * WORK_MS * REBUILDS;
  }
}

function attempt(open, bytes) {
  try {
    return open(bytes);
  } catch {
    return null; // whether it is refused as it should is not the question here
  }
}
