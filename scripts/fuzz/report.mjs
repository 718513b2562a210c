// bench/results/fuzz.md and .json: what a long run found.

import { circumstances, markdownTable, whole, writeReport } from '../../bench/report.mjs';

const sumOf = (outcomes) => Object.values(outcomes).reduce((sum, one) => sum + one, 0);
const megabytes = (bytes) => `${Math.round(bytes / 2 ** 20)} MB`;

/** Writes the results of a run without failures. */
export function writeFuzzReport(summary) {
  const results = { ...circumstances(), ...summary };
  const { date, commit, processor, cores, node, inputs, seconds, workers, seed } = results;
  const { counts, slowest, memoryGrownBytes, peakBytes } = results;
  const byEntry = Object.entries(counts).map(([entry, kinds]) => [
    entry,
    whole(Object.values(kinds).reduce((sum, one) => sum + sumOf(one), 0)),
    `${slowest[entry].ms.toFixed(1)} ms (input ${whole(slowest[entry].index)})`,
  ]);
  const byKind = Object.entries(counts).flatMap(([entry, kinds]) =>
    Object.entries(kinds)
      .sort(([a], [b]) => a.localeCompare(b))
      .map(([kind, outcomes]) => [
        entry,
        kind,
        whole(sumOf(outcomes)),
        Object.entries(outcomes)
          .sort(([, a], [, b]) => b - a)
          .map(([what, count]) => `${what} ${whole(count)}`)
          .join('; '),
      ]),
  );
  writeReport(
    'fuzz',
    results,
    [
      '# Mutated inputs\n',
      `${whole(inputs)} inputs of seed ${seed} in ${workers} processes, ${whole(seconds / 60)} minutes on ${cores} cores of ` +
        `${processor} that did other work, too, Node ${node}, ${date}, commit \`${commit}\`. **No crash, no hang, no error ` +
        'without place, no wrong result**: `node scripts/fuzz.mjs --inputs ' +
        `${inputs} --seed ${seed}\` makes the same inputs again.\n`,
      `Memory: no process grew by more than ${megabytes(memoryGrownBytes)} after its first 10,000 inputs (64 MB would have ` +
        `failed), the largest had ${megabytes(peakBytes)} in all, Node and wasm among it.\n`,
      markdownTable(['entry point', 'inputs', 'slowest'], byEntry),
      '\nThe slowest by the wall clock; above two seconds of the processor it would have failed.\n',
      '## What became of them\n',
      markdownTable(['entry point', 'made from', 'inputs', 'outcomes'], byKind),
      '\nThree quarters of the containers were changed in their sections, with checksums made right again, so that the change reaches ' +
        'what decodes them; of those that then rebuild to other weights than their hash says, a quarter was given the hash of ' +
        'what it has and had to verify on every backend.',
    ].join('\n'),
  );
}
