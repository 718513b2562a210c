// bench/results/crash.md and .json: what crash-test.mjs found.

import { circumstances, markdownTable, whole, writeReport } from '../bench/report.mjs';

/** Writes the results of a run of all parts, none of which failed. */
export function writeCrashReport({ kills, rounds, seconds, kinds, result }) {
  const where = circumstances();
  const { date, commit, processor, cores, node } = where;
  const byKind = kinds.map((kind) => {
    const { kills: times, runsThatGotOn, stepsAtLastKill, killedWhileSaving } = result[`killed, ${kind}`];
    return [kind, ...[times, runsThatGotOn, stepsAtLastKill, killedWhileSaving].map(whole)];
  });
  const { skipped } = result['full disk'];
  const full = kinds.map(
    (kind) => `${kind} with ${whole(result['full disk'][kind]?.stepsWhenFull ?? 0)} steps`,
  );
  writeReport(
    'crash',
    { ...where, seconds, ...result },
    [
      '# Runs that are killed, full disks, closed folders, two writers\n',
      `\`npm run crash-test -- --kills ${kills} --rounds ${rounds}\`, ${date}, commit \`${commit}\`, ${cores} cores of ` +
        `${processor} that did other work, too, Node ${node}, ${whole(seconds)} s. **No completed step was lost and no byte ` +
        'differs** from the run that was left in peace; each part fails otherwise.\n',
      '## SIGKILL at random moments\n',
      'One run of each kind is killed again and again, and resumed each time: one kill in five in its start, the others in ' +
        'its steps. After each kill its file is read: it has all steps that it had before, and all that the metrics told of ' +
        'but the last. At the end it is finished, and its bytes are compared.\n',
      markdownTable(
        [
          'run',
          'kills',
          'after which it had more steps',
          'steps at the last kill',
          'killed while a file was being replaced',
        ],
        byKind,
      ),
      '\n## A full disk\n',
      skipped
        ? `Skipped: ${skipped}`
        : `A tmpfs of 64 KiB filled up under each kind of run (${full.join(', ')}): exit code 3 and "no space left on the disk", no ` +
          'half-written file beside, the steps that were there still there, also after trying again without room. With room it ' +
          'goes on to the bytes of the unbroken run.',
      '\n## A folder that may not be written\n',
      `${result['read-only folder'].attempts} attempts without the right to write (train of each kind, resume, export, replay): ` +
        'exit code 3 and "permission denied", and nothing in the folder changes.',
      '\n## Two writers\n',
      `${whole(rounds)} times two runs were started on one file, killed, and resumed by two at once: one goes on, the other is refused ` +
        'with the number of the first; the bytes are those of one run alone.',
    ].join('\n'),
  );
}
