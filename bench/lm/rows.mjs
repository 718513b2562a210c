// The models of `npm run bench:lm`: what each is called, in which series of the chart it stands, and how the command
// line trains it. A row that is not there yet, or whose name is asked for, is trained; the others are kept.

/** One model's row; `more` may name the row it is a delta on, the text it is trained on, or its table. */
const row = (name, series, options, more = {}) => ({ name, series, options, ...more });
const shape = (blocks, loops) => [...['--blocks', blocks, '--loop-to', blocks, '--loops', loops].map(String)];
const ste = (...options) => ['--method', 'ste', ...options];
const recurrent = (blocks, loops) => ste('--steps', '1000', ...shape(blocks, loops));
const tune = (...options) => ['--method', 'noise-step', '--preset', 'tune', ...options];

/** The row whose model fine-tuning begins with. */
export const BASE = '4 × 128, trained on a book';

export const ROWS = [
  row('4 × 128', 'ste', ste()),
  row('4 × 128 of sparse trits', 'ste', ste('--quantizer', 'sparse')),
  row('tiny, 2 × 64', 'ste', ste('--preset', 'tiny')),
  row('1 × 128', 'ste', recurrent(1, 1), { depth: 1 }),
  row('1 × 128, four times', 'recurrent', recurrent(1, 4), { depth: 4 }),
  row('2 × 128', 'ste', recurrent(2, 1), { depth: 2 }),
  row('2 × 128, twice', 'recurrent', recurrent(2, 2), { depth: 4 }),
  row('noise-step, 1 × 128', 'forward', ['--method', 'noise-step']),
  row('its control, head alone', 'forward', ['--method', 'noise-step', '--train', 'head']),
  row(BASE, 'base', ste('--steps', '1000'), { text: 'moby-dick' }),
  row('delta on it', 'delta', tune(), { base: BASE }),
  row('small delta on it', 'delta', tune('--grain', '64', '--steps', '400'), { base: BASE }),
];

/** Series of the chart, and what its legend calls them. */
export const SERIES = {
  ste: 'ste',
  recurrent: 'ste, blocks applied again',
  forward: 'noise-step, forward-only',
};
