/** The steps of a run, whatever it trains: limits, progress, signals, and the metrics of every step. */

import { closeSync, existsSync, openSync, truncateSync, writeFileSync } from 'node:fs';
import { expected } from '../src/errors.js';
import { parseNumber } from './config-options.js';
import { openReadable, unusable, writeAll } from './files.js';
import { Interrupted } from './interrupted.js';
import { count, duration, type Progress, percent } from './output.js';
import { partialPath, type Run, type RunConfig, SAVE_SECONDS, type StepReport } from './run.js';

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

/** What a run cost. */
export interface Figures {
  readonly seconds: number;
  readonly forwardPasses: number;
}

/**
 * Trains until the steps, the minutes or the user's patience are over.
 * @param source - what `train` was told to train on: `mnist`
 * @throws {Interrupted} when the user stops it; the run is saved
 */
export async function runSteps(
  run: AnyRun,
  metrics: Metrics,
  source: string,
  { minutes, saveSeconds }: StepLimits,
  progress: Progress,
): Promise<Figures> {
  const { config } = run;
  const first = run.step;
  const started = performance.now();
  const recent: StepReport[] = [];
  let interrupted = false;
  let breath = started;
  const interrupt = () => {
    if (interrupted) process.exit(130); // the second time: at once
    interrupted = true;
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  progress.log(
    `${first > 0 ? `resuming at step ${count(first)} of` : 'training'} ${run.modelName}, ${run.title}: ` +
      `${count(run.parameters)} weights, ${count(config.steps)} steps of ${count(config.batch)} (${run.backend.summary})`,
  );
  try {
    while (run.step < config.steps) {
      const record = await run.next((one) => metrics.add(one), saveSeconds);
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
          `stopped after step ${count(run.step)} of ${count(config.steps)}; everything is in ${partialPath(run.out)}\n` +
            `go on with: ternseed train ${source} --resume ${run.out}`,
        );
      }
      if (performance.now() - started > minutes * 60_000) break;
    }
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    metrics.close();
  }
  progress.clear();
  const seconds = (performance.now() - started) / 1000;
  await run.finish();
  return { seconds, forwardPasses: run.forwardPassesPerStep * run.step };
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

/** Opens the metrics of a run; where they cannot be written, a run that is new is taken back. */
export function openMetrics(run: AnyRun, path: string | undefined): Metrics {
  try {
    return new Metrics(path, run.step);
  } catch (error) {
    if (run.step === 0) run.discard();
    throw error;
  }
}

/** JSON lines, one a step; a resumed run drops those that it makes again. */
export class Metrics {
  readonly #file: number | null = null;

  constructor(
    readonly path: string | undefined,
    first: number,
  ) {
    if (path === undefined) return;
    try {
      if (first > 0 && existsSync(path)) truncateSync(path, bytesUpTo(path, first));
      else writeFileSync(path, '');
      this.#file = openSync(path, 'a');
    } catch (cause) {
      throw unusable(path, 'to be writable', cause);
    }
  }

  /** One line, at once: a run that dies after it finds the step when it goes on. */
  add(report: StepReport): void {
    if (this.#file === null) return;
    const line = JSON.stringify({ ...report, detail: undefined }); // that is for the progress line
    try {
      writeAll(this.#file, new TextEncoder().encode(`${line}\n`));
    } catch (cause) {
      throw unusable(this.path as string, 'to be writable', cause);
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
  }
}

/** Read at once of metrics, which may be longer than a text can be. */
const WINDOW_BYTES = 2 ** 20;

/** Bytes of the lines of a metrics file up to a step; the first that is later, or was half written, ends them. */
function bytesUpTo(path: string, last: number): number {
  const file = openReadable(path);
  const decoder = new TextDecoder();
  try {
    for (let kept = 0; ;) {
      const bytes = file.read(kept, WINDOW_BYTES);
      let at = 0;
      for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
        if (!(stepOf(decoder.decode(bytes.subarray(at, end))) <= last)) return kept + at;
        at = end + 1;
      }
      if (at === 0) return kept;
      kept += at;
    }
  } finally {
    file.close();
  }
}

/** The step of a metrics line; a line that was half written counts as never. */
function stepOf(line: string): number {
  try {
    return (JSON.parse(line) as { step: number }).step;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
