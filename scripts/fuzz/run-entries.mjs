// Entry points: what unfinished runs leave, which may end at any byte: logs, checkpoints of pools and of arrays.

import { headerOfUnfinished, readCheckpoint } from '../../dist/src/artifact/checkpoint.js';
import { readUnfinishedLog } from '../../dist/src/artifact/unfinished-log.js';
import { same } from './bytes.mjs';
import { artifactRefusal, Failure, read } from './checks.mjs';
import { mutateContainer } from './mutate.mjs';
import { samples, unfinished } from './samples.mjs';

/** A log whose steps were read. */
function readSteps(bytes) {
  const log = readUnfinishedLog(bytes);
  const kept = (step) => ({ ...step, coefficients: step.coefficients.slice() });
  return { ...log, steps: Array.from(log.replaySteps(), kept) };
}

const rightLog = readSteps(unfinished.find(({ kind }) => kind === 'unfinished log').bytes);

function checkLog(choices, bytes, origin, damage) {
  const log = read(readSteps, bytes, artifactRefusal);
  if (!log) return 'refused';
  if (log.length > bytes.length) throw new Failure('a log longer than its file');
  if (damage && origin.kind === 'unfinished log') {
    log.steps.forEach((step, i) => {
      const right = rightLog.steps[i];
      const alike =
        ['seedStep', 'nonzeros', 'loss'].every((field) => right?.[field] === step[field]) &&
        same(right.coefficients, step.coefficients);
      if (!alike) throw new Failure(`a damaged log gives another step ${i + 1}`);
    });
  }
  if (!choices.once(4)) return 'read';
  if (!headerOfUnfinished(bytes)) throw new Failure('a log without a header');
  if (readUnfinishedLog(bytes.subarray(0, log.length)).steps !== log.steps.length) {
    throw new Failure('the whole part of a log is not read alike');
  }
  return 'read';
}

function checkCheckpoint(_, bytes) {
  const checkpoint = read(readCheckpoint, bytes, artifactRefusal);
  if (!checkpoint) return 'refused';
  const { header, pool, arrays = [] } = checkpoint;
  const size = header.directions.reduce((sum, one) => sum + one, 0);
  for (const array of Object.values(pool ?? {})) {
    if (array.length !== size) throw new Failure('a checkpoint with arrays of another length');
  }
  const total = arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (total > bytes.length) throw new Failure('arrays of more bytes than the file has');
  return 'read';
}

const entry = (name, share, wanted, check) => ({
  name,
  share,
  make(choices) {
    const own = unfinished.find(({ kind }) => kind === wanted);
    const origin = choices.once(8) ? choices.of(samples) : own;
    const { bytes, damage } = mutateContainer(choices, origin);
    return { kind: origin.kind, bytes, check: () => check(choices, bytes, origin, damage) };
  },
});

export const runEntries = [
  entry('readUnfinishedLog', 70, 'unfinished log', checkLog),
  entry('readCheckpoint', 25, 'checkpoint', checkCheckpoint),
  entry('readCheckpoint of arrays', 25, 'arrays', checkCheckpoint),
];
