/** `ternseed log FILE`: the history of a seed log, finished or not: a line a step. */

import { openArtifact } from '../src/artifact/artifact.js';
import { readWholeSections, SectionType } from '../src/artifact/container.js';
import { historyOf } from '../src/artifact/edit.js';
import type { ReadStep } from '../src/artifact/seed-log.js';
import { readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { expected, printable } from '../src/errors.js';
import { parseInteger, parseRange } from './config-options.js';
import { requireLog } from './logs.js';
import { readPathOrUrl } from './files.js';
import { count, printResult, Progress } from './output.js';

export interface LogOptions {
  readonly steps?: string;
  readonly every?: string;
  readonly json: boolean;
}

/** Losses in a log are in 2⁻⁶ bits. */
const LOSS_UNITS = 64;
/** More are for nobody to read, and one text of them would be longer than there are texts. */
const LINES_MAX = 2_000_000;

export async function log(file: string, options: LogOptions): Promise<void> {
  const { steps, total, directions, history } = await readSteps(file);
  const range = options.steps === undefined ? { from: 1, to: total } : parseRange('--steps', options.steps);
  if (range.from < 1 || range.to > total)
    throw expected('--steps', `a range within 1-${total}`, options.steps);
  const every =
    options.every === undefined
      ? 1
      : parseInteger('--every', options.every, 1, undefined, 'a positive integer');
  const lineCount = Math.floor((range.to - range.from) / every) + 1;
  if (lineCount > LINES_MAX) {
    throw expected(
      '--every',
      `at most ${count(LINES_MAX)} lines, such as every ${Math.ceil((range.to - range.from + 1) / LINES_MAX)} steps, or fewer "--steps"`,
      `${count(lineCount)} lines`,
    );
  }
  const rows = [];
  const progress = new Progress();
  const { onProgress } = progress.watch('reading the log', 'steps');
  for (const { step, seedStep, nonzeros, loss, coefficients, bytes } of steps) {
    onProgress?.(step, range.to);
    if (step > range.to) break;
    if (step < range.from || (step - range.from) % every !== 0) continue;
    const kept = coefficients.reduce((sum, value) => sum + Math.abs(value), 0);
    rows.push({ step, seedStep, lossBits: loss / LOSS_UNITS, nonzeros, kept, bytes });
  }
  progress.clear();
  const edited = rows.some(({ step, seedStep }) => step !== seedStep);
  const head = [
    'step',
    ...(edited ? ['of the seed'] : []),
    'loss, bits',
    'nonzeros',
    `kept of ${count(directions)}`,
    'bytes',
  ];
  const lines = rows.map(({ step, seedStep, lossBits, nonzeros, kept, bytes }) => [
    ...[count(step), ...(edited ? [count(seedStep)] : []), lossBits.toFixed(3), count(nonzeros)],
    ...[count(kept), count(bytes)],
  ]);
  printResult(options.json, { steps: rows, directions, history }, [
    `${printable(file)}: ${count(total)} steps`,
    ...history.map((entry) => `  edited: ${printable(JSON.stringify(entry))}`),
    ...aligned([head, ...lines]),
  ]);
}

interface Steps {
  readonly steps: Iterable<ReadStep>;
  readonly total: number;
  readonly directions: number;
  readonly history: readonly unknown[];
}

/** The steps of a log, or of one that is still being written. */
async function readSteps(file: string): Promise<Steps> {
  const bytes = await readPathOrUrl(file);
  const finished = readWholeSections(bytes).sections.at(-1)?.type === SectionType.end;
  const found = finished ? requireLog(openArtifact(bytes)) : readUnfinishedLog(bytes);
  const { header } = found;
  return {
    ...{ total: found.steps, steps: found.replaySteps() },
    ...{ directions: header.directions.reduce((sum, one) => sum + one, 0), history: historyOf(header) },
  };
}

/** Columns of numbers, flush right. */
function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column].length), 0),
  );
  return rows.map((row) => `  ${row.map((cell, column) => cell.padStart(widths[column])).join('  ')}`);
}
