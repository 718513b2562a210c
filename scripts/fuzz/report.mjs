// bench/results/fuzz.md and .json: what long runs found. A run adds to those that are there; without the files the
// count begins anew.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { circumstances, markdownTable, root, whole, writeReport } from '../../bench/report.mjs';

const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;
const total = (numbers) => numbers.reduce((sum, one) => sum + one, 0);
const sumOf = (counts) => (typeof counts === 'number' ? counts : total(Object.values(counts).map(sumOf)));

/** Sums of numbers in nested objects. */
export function add(into, from) {
  for (const [key, value] of Object.entries(from)) {
    if (typeof value === 'number') into[key] = (into[key] ?? 0) + value;
    else add((into[key] ??= {}), value);
  }
  return into;
}

/** Adds the results of a run without failures. */
export function writeFuzzReport(summary, where = circumstances()) {
  const path = join(root, 'bench/results/fuzz.json');
  const before = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).runs : [];
  const runs = [...before, { ...where, ...summary }];
  const counts = runs.reduce((sum, run) => add(sum, run.counts), {});
  const slowestOf = (entry) => Math.max(...runs.map(({ slowest }) => slowest[entry]?.ms ?? 0));
  const byKind = Object.entries(counts).flatMap(([entry, kinds]) =>
    Object.entries(kinds)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([kind, outcomes]) => [entry, kind, whole(sumOf(outcomes)), shown(outcomes)]),
  );
  writeReport(
    'fuzz',
    { inputs: sumOf(counts), runs },
    [
      '# Mutated inputs\n',
      `${whole(sumOf(counts))} inputs. **No crash, no hang, no error without place, no wrong result**: a run that finds one ends, ` +
        'and is not counted here. The same inputs are made again by `npm run fuzz -- --inputs N --seed SEED`, at the same commit.\n',
      markdownTable(
        [
          'date',
          'commit',
          'seed',
          'inputs',
          'minutes',
          'processes',
          'machine',
          'largest growth',
          'largest process',
        ],
        runs.map((run) => [
          ...[
            run.date,
            `\`${run.commit}\``,
            run.seed,
            whole(run.inputs),
            whole(run.seconds / 60),
            run.workers,
          ],
          `${run.cores} cores of ${run.processor}, Node ${run.node}`,
          ...[megabytes(run.memoryGrownBytes ?? 0), megabytes(run.peakBytes)],
        ]),
      ),
      '\nThe machine did other work, too. *Growth* is that of a process after its first 10,000 inputs: above 64 MB a run fails. ' +
        'The largest process is all of it, Node and wasm among it.\n',
      markdownTable(
        ['entry point', 'inputs', 'slowest, by the wall clock'],
        Object.entries(counts).map(([entry, kinds]) => [
          ...[entry, whole(sumOf(kinds)), `${slowestOf(entry).toFixed(0)} ms`],
        ]),
      ),
      '\nAbove two seconds of the processor a run fails.\n',
      '## What became of them\n',
      markdownTable(['entry point', 'made from', 'inputs', 'outcomes'], byKind),
      '\nThree quarters of the containers were changed in their sections, with checksums made right again, so that the change ' +
        'reaches what decodes them; of those that then rebuild to other weights than their hash says, a quarter was given the ' +
        'hash of what it has and had to verify on every backend.',
    ].join('\n'),
  );
}

/** Outcomes, the commonest first. */
function shown(outcomes) {
  const ordered = Object.entries(outcomes).sort(([, a], [, b]) => b - a);
  return ordered.map(([what, count]) => `${what} ${whole(count)}`).join('; ');
}
