/**
 * Editing of seed logs, as the noise_step paper imagines it: steps left out, negated or repeated, and logs joined.
 * Every step keeps the directions that it was trained along (`seedStep`), wherever it comes to stand. What comes
 * out says in its configuration what was done, and of which weights: it is no training run any more.
 */

import type { Backend } from '../backend/backend.js';
import { ConfigError, expected } from '../errors.js';
import { Breath, type Watch } from '../watch.js';
import { STEPS_MAX } from '../random/directions.js';
import { joined, openArtifact, type SeedLog, seedLogParts, withEnd } from './artifact.js';
import type { Header } from './header.js';
import { rebuild } from './rebuild.js';
import type { LogStep } from './seed-log.js';
import { weightsHash } from './weights-hash.js';

export const EDITS = ['drop', 'negate', 'repeat'] as const;

/** What is done to the steps from…to of a log, both among them. */
export interface Edit {
  readonly edit: (typeof EDITS)[number];
  readonly from: number;
  readonly to: number;
  /** Of a repetition: how often the steps stand there afterwards, ≥ 2. */
  readonly times?: number;
}

/**
 * Applies edits to a log. Their ranges are of the log's own step numbers and may not overlap.
 * @param base - of a delta, the weights of its base
 * @param watch - a signal to give up by, and progress in steps that are written and then rebuilt
 * @returns the edited log, a whole file
 * @throws {ConfigError} when a range is not within the log, or two overlap
 * @example await editLog(log, [{ edit: 'drop', from: 10, to: 20 }], backend)
 */
export async function editLog(
  log: SeedLog,
  edits: readonly Edit[],
  backend: Backend,
  base?: Int8Array,
  watch?: Watch,
): Promise<Uint8Array> {
  const ordered = [...edits].sort((a, b) => a.from - b.from);
  ordered.forEach(({ edit, from, to }, i) => {
    if (from < 1 || to > log.steps || from > to) {
      throw expected(edit, `steps within 1…${log.steps}`, `${from}-${to}`);
    }
    const before = ordered[i - 1];
    if (before && before.to >= from) {
      throw new ConfigError(
        `"${edit}" expected ranges that do not overlap, got ${before.from}-${before.to} and ${from}-${to}`,
      );
    }
  });
  const history = [...historyOf(log.header), { of: log.weightsHash, edits: ordered }];
  const header = { ...log.header, config: { ...log.header.config, history } };
  const steps = ordered.reduce((sum, one) => sum + stepsAdded(one), log.steps);
  return finished(header, editedSteps(log, ordered), steps, backend, base, watch);
}

/** By how many steps an edit makes a log longer. */
function stepsAdded({ edit, from, to, times = 2 }: Edit): number {
  return { drop: -1, negate: 0, repeat: times - 1 }[edit] * (to - from + 1);
}

/** The steps of a log with edits in the order of their ranges. */
function* editedSteps(log: SeedLog, ordered: readonly Edit[]): Generator<LogStep> {
  let next = 1;
  for (const { edit, from, to, times = 2 } of ordered) {
    yield* stepsOf(log, next, from - 1);
    if (edit === 'negate') for (const step of stepsOf(log, from, to)) yield negated(step);
    if (edit === 'repeat') for (let time = 0; time < times; time++) yield* stepsOf(log, from, to);
    next = to + 1;
  }
  yield* stepsOf(log, next, log.steps);
}

/**
 * Joins logs that begin with the same weights: the steps of the first, then those of the next.
 * @param base - of deltas, the weights of their base
 * @param watch - as {@link editLog} takes it
 * @returns the joined log, a whole file
 * @throws {ConfigError} when they differ in model, seed, directions or base
 */
export async function concatLogs(
  logs: readonly SeedLog[],
  backend: Backend,
  base?: Int8Array,
  watch?: Watch,
): Promise<Uint8Array> {
  const [first, ...others] = logs;
  const other = others.find((log) => identityOf(log.header) !== identityOf(first.header));
  if (other) {
    throw new ConfigError(
      `"concat" expected logs of one model, seed, cut, directions and base, got ${identityOf(first.header)} and ${identityOf(other.header)}`,
    );
  }
  const history = [...historyOf(first.header), { joined: logs.map((log) => log.weightsHash) }];
  const header = { ...first.header, config: { ...first.header.config, history } };
  const steps = logs.reduce((sum, log) => sum + log.steps, 0);
  return finished(header, stepsOfAll(logs), steps, backend, base, watch);
}

function* stepsOfAll(logs: readonly SeedLog[]): Generator<LogStep> {
  for (const log of logs) yield* stepsOf(log, 1, log.steps);
}

/** What was done to a log since it was trained; empty for an honest run. */
export function historyOf({ config }: Header): readonly unknown[] {
  return Array.isArray(config.history) ? config.history : [];
}

/** The steps from…to; none where there are none. Their coefficients are good until the next. */
function* stepsOf(log: SeedLog, from: number, to: number): Generator<LogStep> {
  if (from > to) return;
  for (const step of log.replaySteps(from)) {
    yield step;
    if (step.step === to) return;
  }
}

function negated(step: LogStep): LogStep {
  return { ...step, coefficients: step.coefficients.map((coefficient) => -coefficient) };
}

/** What decides the weights that steps lead to, beside the steps. */
function identityOf(header: Header): string {
  return JSON.stringify({ ...header, config: undefined, data: undefined });
}

/** A log of some steps, with the hash of what they come to. */
async function finished(
  header: Header,
  edited: Iterable<LogStep>,
  steps: number,
  backend: Backend,
  base: Int8Array | undefined,
  watch: Watch | undefined,
): Promise<Uint8Array> {
  if (steps > STEPS_MAX) throw expected('steps', `at most ${STEPS_MAX} in a log`, steps);
  const { signal, onProgress } = watch ?? {};
  const breath = new Breath(watch); // what is written counts as much as what is rebuilt
  let done = 0;
  function* counted(): Generator<LogStep> {
    for (const step of edited) {
      done += 1;
      yield step;
    }
  }
  const parts: Uint8Array[] = [];
  for (const part of seedLogParts(header, counted(), { steps, weightsHash: '0'.repeat(64) })) {
    parts.push(part);
    if (breath.due()) await breath.take(done, 2 * steps);
  }
  const file = joined(parts);
  const log = openArtifact(file);
  const weights = await rebuild(log, backend, steps, base, {
    signal,
    onProgress: (rebuilt) => onProgress?.(steps + rebuilt, 2 * steps),
  });
  return withEnd(file, { steps, weightsHash: await weightsHash(weights, log.network.tensors) });
}
