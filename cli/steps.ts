/** The steps of a run, whatever it trains: limits, progress, signals, and the metrics of every step. */

import { existsSync } from 'node:fs';
import { expected, printable } from '../src/errors.js';
import { parseNumber } from './config-options.js';
import type { Destination } from './destination.js';
import { INTERRUPTED, Interrupted } from './interrupted.js';
import type { Metrics } from './metrics.js';
import { count, duration, type Progress, percent } from './output.js';
import type { RunConfig } from '../src/train/trainer.js';
import { type Run, SAVE_SECONDS, type StepReport } from './run.js';
import { partialPath } from './unfinished.js';
import { SIGNALS } from './write-lock.js';

/** A run of any trainer. */
type AnyRun = Run<RunConfig, never>;

/** How long a run may take, and how often it is saved. */
export interface StepLimits {
  readonly minutes: number;
  readonly saveSeconds: number;
}

/** Milliseconds between two looks at signals. */
const BREATH = 100;
/** Steps that a shown loss is averaged over. */
const WINDOW = 20;

/** Reads `--minutes` and `--save-every`. */
export function readStepLimits({ minutes, saveEvery }: { minutes?: string; saveEvery?: string }): StepLimits {
  const limits = {
    minutes: minutes === undefined ? Number.POSITIVE_INFINITY : parseNumber('--minutes', minutes),
    saveSeconds: saveEvery === undefined ? SAVE_SECONDS : parseNumber('--save-every', saveEvery),
  };
  if (!(limits.minutes > 0)) throw expected('--minutes', 'a number above 0', minutes);
  if (!(limits.saveSeconds >= 0)) throw expected('--save-every', 'a number of seconds', saveEvery);
  return limits;
}

/** What a run cost, and what came of it. */
export interface Figures {
  readonly seconds: number;
  readonly forwardPasses: number;
  /** As it was written; null where a file has it. */
  readonly artifact: Uint8Array | null;
}

/** How the steps of a run are taken, and where they lead. */
export interface StepOptions {
  readonly limits: StepLimits;
  readonly out: Destination;
  readonly metrics: Metrics | null;
  /** The command that resumes the run. */
  readonly resume: string;
  /** Makes of the artifact the one that is written. */
  readonly change?: (artifact: Uint8Array) => Promise<Uint8Array>;
  readonly progress: Progress;
}

/**
 * Trains until the steps, the minutes or the user's patience are over, and writes the artifact.
 * @throws {ConfigError} when something else has come to be where it goes
 * @throws {Interrupted} when the user stops it; the run is saved
 */
export async function runSteps(run: AnyRun, options: StepOptions): Promise<Figures> {
  const { config } = run;
  const { limits, out, metrics, resume, progress } = options;
  const first = run.step;
  try {
    out.requireUnchanged();
    await metrics?.open(first);
  } catch (error) {
    if (first === 0) run.discard();
    throw error;
  }
  const started = performance.now();
  const recent: StepReport[] = [];
  const kept = `${printable(partialPath(run.out))}\ncontinue with: ${printable(resume)}`;
  let interrupted = false;
  let breath = started;
  const interrupt = () => {
    if (interrupted) process.exit(INTERRUPTED); // the second time: at once
    interrupted = true;
  };
  for (const signal of SIGNALS) process.on(signal, interrupt);
  progress.log(
    `${first > 0 ? `resuming at step ${count(first)} of` : 'training'} ${run.modelName}, ${run.title}: ` +
      `${count(run.parameters)} weights, ${count(config.steps)} steps of ${count(config.batch)} (${run.backend.summary})`,
  );
  try {
    while (run.step < config.steps) {
      const record = await run.next((one) => metrics?.add(one), limits.saveSeconds);
      recent.push(record);
      if (recent.length > WINDOW) recent.shift();
      progress.show(() => progressLine(recent, config, first, (performance.now() - started) / 1000));
      if (performance.now() - breath > BREATH) {
        await new Promise((resolve) => setImmediate(resolve)); // signals are handled here
        breath = performance.now();
      }
      if (interrupted) {
        await run.save();
        throw new Interrupted(
          `stopped after step ${count(run.step)} of ${count(config.steps)}; everything is in ${kept}`,
        );
      }
      if (performance.now() - started > limits.minutes * 60_000) break;
    }
    progress.clear();
    const seconds = (performance.now() - started) / 1000;
    const artifact = await finish();
    if (interrupted) throw new Interrupted(`${printable(out.name)} is written; it was not evaluated`);
    return { seconds, forwardPasses: run.forwardPassesPerStep * run.step, artifact };
  } catch (error) {
    if (!(error instanceof Interrupted) && existsSync(partialPath(run.out))) {
      progress.log(`not finished; what was saved is in ${kept}`);
    }
    throw error;
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    metrics?.close();
  }

  async function finish(): Promise<Uint8Array | null> {
    try {
      return await run.finish(out, options.change);
    } catch (error) {
      // The steps since the last checkpoint must not be lost with the place where they should have gone.
      await run.save().catch(() => {});
      throw error;
    }
  }
}

function progressLine(
  recent: readonly StepReport[],
  { steps }: RunConfig,
  first: number,
  seconds: number,
): string {
  const last = recent.at(-1) as StepReport;
  const mean = (value: (report: StepReport) => number) =>
    recent.reduce((sum, record) => sum + value(record), 0) / recent.length;
  const left = (seconds / (last.step - first)) * (steps - last.step);
  const detail = last.detail ? `, ${last.detail}` : '';
  return (
    `step ${count(last.step)}/${count(steps)}  loss ${mean(({ loss }) => loss).toFixed(3)}  ` +
    `batch accuracy ${percent(mean(({ accuracy }) => accuracy))}${detail}  ${duration(left)} left`
  );
}
