/**
 * `verify --retrain`: whether the history that an artifact tells is one that its trainer makes of its
 * data. A log has every step, so any of them can be recomputed from the state before it; a pool and
 * packed weights have only the end, so they can be checked by training all of it again and no other way.
 */

import seedrandom from 'seedrandom';
import type { Artifact, SeedLog } from '../src/artifact/artifact.js';
import { formatKey, type Header, parseKey } from '../src/artifact/header.js';
import { lossOfUnits } from '../src/artifact/seed-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Backend } from '../src/backend/backend.js';
import { ConfigError, expected } from '../src/errors.js';
import type { AnyNoiseStepConfig, NoiseStepTrainer } from '../src/perturb/trainer.js';
import { digestOf, keyOf } from '../src/random/key.js';
import { historyOf } from '../src/artifact/edit.js';
import { parseInteger } from './config-options.js';
import { headerOfTrainer } from '../src/train/encode.js';
import { type NoiseStepSubject, ofExamples, ofText } from './noise-step.js';
import { openData, readingOf } from './data.js';
import { readText } from './texts.js';
import { count, percent, Progress } from './output.js';
import { checkedConfig, isSameHeader, requireData } from './unfinished.js';

/** What was recomputed, and whether it is what the artifact has. */
export interface Retrained {
  readonly ok: boolean;
  readonly detail: string;
  /** The steps that were recomputed, ascending. */
  readonly steps: readonly number[];
  /** What the random ones of them were drawn by. */
  readonly seed: string;
}

/**
 * Reads `--retrain`.
 * @returns how many steps are to be recomputed
 * @throws {ConfigError} when it is no number of steps, or the artifact has no steps to choose from
 */
export function stepsToRetrain(text: string, artifact: Artifact): number {
  const { kind, steps, header } = artifact;
  const { method } = header.config;
  if (method !== undefined && method !== 'noise-step') {
    throw expected('--retrain', 'a run of noise-step, whose arithmetic is exact', method);
  }
  if (historyOf(header).length > 0) {
    throw new ConfigError(
      '"--retrain" expected a log as it was trained, got one that was edited since: see `ternseed log`',
    );
  }
  if (text === 'all') return steps;
  const wanted = parseInteger('--retrain', text, 1, undefined, 'a positive integer or all');
  if (kind !== 'log') {
    throw new ConfigError(
      `"--retrain" expected all, got ${count(wanted)}: a ${kind} keeps no history, so it can be checked only by ` +
        `training all ${count(steps)} steps again`,
    );
  }
  return Math.min(wanted, steps);
}

/**
 * Recomputes steps from the data.
 * @param wanted - how many; of a pool and of packed weights, all
 * @param seed - draws which: whoever forged the log must not know it
 * @param source - what `--data` names
 * @throws {InputError} when the data are not those of the run, or its configuration is no trainer's
 */
export async function retrain(
  artifact: Artifact,
  wanted: number,
  seed: string,
  source: string,
  backend: Backend,
  file: string,
  base?: Int8Array,
): Promise<Retrained> {
  const { header } = artifact;
  const check = <Config extends AnyNoiseStepConfig>(subject: NoiseStepSubject<Config, never>) =>
    retrainOn(subject, artifact, wanted, seed, file, base);
  if (typeof header.model === 'object') return check(ofText(await readText(source), backend));
  return check(ofExamples(await openData(source, readingOf(header)), backend));
}

async function retrainOn<Config extends AnyNoiseStepConfig>(
  subject: NoiseStepSubject<Config, never>,
  artifact: Artifact,
  wanted: number,
  seed: string,
  file: string,
  base: Int8Array | undefined,
): Promise<Retrained> {
  const { header, kind } = artifact;
  requireData(header, subject.data, file);
  const config = checkedConfig<Config>(header, subject.settings, (found: Config) => subject.check(found));
  const trainer = await subject.create(config, { base, key: parseKey(header.key) });
  const progress = new Progress();
  try {
    const { inputs } = header as Partial<Extract<Header, { inputs?: unknown }>>;
    const mine = headerOfTrainer(trainer, { ...header, inputs });
    const told: Header = kind === 'packed' ? { ...mine, kind, directions: [] } : mine;
    if (!isSameHeader(told, header)) {
      return { ok: false, detail: 'the header is not that of its configuration', steps: [], seed };
    }
    const result =
      artifact.kind === 'log'
        ? await checkLog(artifact, trainer, chooseSteps(artifact.steps, wanted, seed), seed, progress)
        : await checkEnd(artifact, trainer, seed, progress);
    if (!result.ok || formatKey(keyOf(config.seed)) === header.key) return result;
    return { ...result, detail: `${result.detail}; the key is not that of the seed, as in files up to 0.1` };
  } finally {
    progress.clear();
    await trainer.release();
  }
}

/**
 * Which steps are recomputed: all, or the first, the last and some between them that are drawn by a
 * seed; of one or two, what is drawn comes first.
 * @returns ascending
 */
export function chooseSteps(steps: number, wanted: number, seed: string): number[] {
  if (wanted >= steps) return Array.from({ length: steps }, (_, i) => i + 1);
  const ends = [[], [], [steps]][wanted] ?? [1, steps];
  const [least, most] = [ends.includes(1) ? 2 : 1, ends.includes(steps) ? steps - 1 : steps];
  // seedrandom repeats a short seed and sees low bytes alone; a digest has one length and no other bytes.
  const random = seedrandom(digestOf(seed));
  const drawn = new Set(ends);
  // Floyd's sample without repetition: the one more that each turn allows is taken where the drawn one is already.
  for (let last = most - (wanted - ends.length) + 1; last <= most; last++) {
    const step = least + Math.floor(random() * (last - least + 1));
    drawn.add(drawn.has(step) ? last : step);
  }
  return [...drawn].sort((a, b) => a - b);
}

async function checkLog(
  log: SeedLog,
  trainer: NoiseStepTrainer<AnyNoiseStepConfig>,
  steps: readonly number[],
  seed: string,
  progress: Progress,
): Promise<Retrained> {
  const stages = trainer.config.nonzeros as number[];
  const chosen = new Set(steps);
  const failed = (what: string): Retrained => ({
    ok: false,
    detail: `step ${count(step)}: ${what}`,
    steps,
    seed,
  });
  let step = 0;
  let stage = 0;
  let done = 0;
  for (const entry of log.replaySteps()) {
    step += 1;
    const next = stages.indexOf(entry.nonzeros);
    if (next < stage)
      return failed(`expected one of ${stages.slice(stage).join()} nonzeros, got ${entry.nonzeros}`);
    stage = next;
    if (!chosen.has(step)) {
      progress.show(() => `replaying, at step ${count(step)} of ${count(log.steps)}`);
      await trainer.replay(entry);
      continue;
    }
    const { log: mine, lossUnits } = await trainer.next();
    if (!mine) throw new TypeError('a log’s trainer makes log entries');
    if (mine.nonzeros !== entry.nonzeros) {
      return failed(`expected ${mine.nonzeros} nonzeros, as the data give, got ${entry.nonzeros}`);
    }
    const differing = differences(mine.coefficients, entry.coefficients);
    if (differing.length > 0) {
      const [k] = differing;
      return failed(
        `${differing.length} of ${entry.coefficients.length} coefficients are not those that the data give: ` +
          `expected ${mine.coefficients[k]} for direction ${k}, got ${entry.coefficients[k]}`,
      );
    }
    if (lossOfUnits(lossUnits) !== entry.loss) {
      return failed(
        `expected a loss of ${lossOfUnits(lossUnits)} units of 2^-6 bits, as the data give, got ${entry.loss}`,
      );
    }
    done += 1;
    progress.show(() => `retrained ${count(done)} of ${count(steps.length)} steps`);
  }
  const share = log.steps === 0 ? 1 : steps.length / log.steps;
  const caught = share < 1 ? `; any one forged step would be found with ${percent(share)}` : '';
  const shown = steps.length > 12 || share === 1 ? '' : ` (${steps.join(', ')})`;
  const detail = `${count(steps.length)} of ${count(log.steps)} steps${shown} as the data give them${caught}`;
  return { ok: true, detail, steps, seed };
}

/** Trains from the start to the end, which is all that is known. */
async function checkEnd(
  artifact: Exclude<Artifact, SeedLog>,
  trainer: NoiseStepTrainer<AnyNoiseStepConfig>,
  seed: string,
  progress: Progress,
): Promise<Retrained> {
  while (trainer.step < artifact.steps) {
    await trainer.next();
    progress.show(() => `retrained ${count(trainer.step)} of ${count(artifact.steps)} steps`);
  }
  const steps = chooseSteps(artifact.steps, artifact.steps, seed);
  const all = `all ${count(artifact.steps)} steps`;
  if (artifact.kind === 'pool') {
    const mine = await trainer.poolCoefficients();
    const differing = differences(mine, artifact.coefficients);
    if (differing.length > 0) {
      const [k] = differing;
      const detail =
        `after ${all}, ${count(differing.length)} of ${count(mine.length)} coefficients are not those that the data give: ` +
        `expected ${mine[k]} for direction ${k}, got ${artifact.coefficients[k]}`;
      return { ok: false, detail, steps, seed };
    }
  }
  const hash = await weightsHash(await trainer.values(), trainer.graph.tensors);
  const ok = hash === artifact.weightsHash;
  const detail = ok
    ? `${all} give these weights`
    : `${all} give weights with hash ${hash}, not ${artifact.weightsHash}`;
  return { ok, detail, steps, seed };
}

/** Where two lists of one length differ. */
function differences(a: Int8Array | Int16Array, b: Int8Array | Int16Array): number[] {
  return Array.from(a.keys()).filter((i) => a[i] !== b[i]);
}
