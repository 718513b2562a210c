// The models of `npm run bench:lm`: what each is called, in which series of the chart it stands, and how the command
// line trains it. A row that is not there yet, or whose name is asked for, is trained; the others are kept.

/** One model's row. */
const row = (name, series, ...options) => ({ name, series, options });
const shape = (blocks, loops) => [...['--blocks', blocks, '--loop-to', blocks, '--loops', loops].map(String)];

export const ROWS = [
  row('4 × 128', 'ste', '--method', 'ste'),
  row('tiny, 2 × 64', 'ste', '--method', 'ste', '--preset', 'tiny'),
  // Depth recurrence at equal bytes: two blocks once, and the same two applied twice.
  row('2 × 128', 'ste', '--method', 'ste', '--steps', '1500', ...shape(2, 1)),
  row('2 × 128, twice', 'recurrent', '--method', 'ste', '--steps', '1500', ...shape(2, 2)),
];

/** Series of the chart, and what its legend calls them. */
export const SERIES = {
  ste: 'ste',
  recurrent: 'ste, blocks applied again',
  forward: 'forward-only',
};
