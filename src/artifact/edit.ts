/**
 * Editing of seed logs, as the noise_step paper imagines it: steps left out, turned round or repeated, and logs joined.
 * Every step keeps the directions that it was trained along (`seedStep`), wherever it comes to stand. What comes
 * out says in its configuration what was done, and of which weights: it is no training run any more.
 */

import type { Backend } from '../backend/backend.js';
import { ConfigError, expected } from '../errors.js';
import { encodeSeedLog, openArtifact, type SeedLog } from './artifact.js';
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
 * @returns the edited log, a whole file
 * @throws {ConfigError} when a range is not within the log, or two overlap
 * @example await editLog(log, [{ edit: 'drop', from: 10, to: 20 }], backend)
 */
export async function editLog(
  log: SeedLog,
  edits: readonly Edit[],
  backend: Backend,
  base?: Int8Array,
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
  const all = stepsOf(log);
  const steps: LogStep[] = [];
  let next = 1;
  for (const { edit, from, to, times = 2 } of ordered) {
    steps.push(...all.slice(next - 1, from - 1));
    const range = all.slice(from - 1, to);
    if (edit === 'negate') steps.push(...range.map(negated));
    if (edit === 'repeat') for (let time = 0; time < times; time++) steps.push(...range);
    next = to + 1;
  }
  steps.push(...all.slice(next - 1));
  const history = [...historyOf(log.header), { of: log.weightsHash, edits: ordered }];
  return finished({ ...log.header, config: { ...log.header.config, history } }, steps, backend, base);
}

/**
 * Joins logs that begin with the same weights: the steps of the first, then those of the next.
 * @param base - of deltas, the weights of their base
 * @returns the joined log, a whole file
 * @throws {ConfigError} when they differ in model, seed, directions or base
 */
export async function concatLogs(
  logs: readonly SeedLog[],
  backend: Backend,
  base?: Int8Array,
): Promise<Uint8Array> {
  const [first, ...others] = logs;
  const other = others.find((log) => identityOf(log.header) !== identityOf(first.header));
  if (other) {
    throw new ConfigError(
      `"concat" expected logs of one model, seed, cut, directions and base, got ${identityOf(first.header)} and ${identityOf(other.header)}`,
    );
  }
  const steps = logs.flatMap(stepsOf);
  const history = [...historyOf(first.header), { joined: logs.map((log) => log.weightsHash) }];
  return finished({ ...first.header, config: { ...first.header.config, history } }, steps, backend, base);
}

/** What was done to a log since it was trained; empty for an honest run. */
export function historyOf({ config }: Header): readonly unknown[] {
  return Array.isArray(config.history) ? config.history : [];
}

function stepsOf(log: SeedLog): LogStep[] {
  return Array.from(log.replaySteps(), ({ seedStep, nonzeros, loss, coefficients }) => ({
    ...{ seedStep, nonzeros, loss, coefficients: coefficients.slice() },
  }));
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
  steps: readonly LogStep[],
  backend: Backend,
  base: Int8Array | undefined,
): Promise<Uint8Array> {
  const outcome = { steps: steps.length, weightsHash: '0'.repeat(64) };
  const log = openArtifact(encodeSeedLog(header, steps, outcome));
  const weights = await rebuild(log, backend, steps.length, base);
  return encodeSeedLog(header, steps, {
    ...outcome,
    weightsHash: await weightsHash(weights, log.network.tensors),
  });
}
