/**
 * Schedules: how the learning rate and the weight decay go over a run. Each gives factors of
 * the configured values, so that one number says how far a run steps at its fastest.
 */

/** The names that `--schedule` takes. */
export const SCHEDULES = ['constant', 'linear', 'cosine', 'one-cycle', 'two-stage'] as const;
export type ScheduleName = (typeof SCHEDULES)[number];

/** Factors of the configured values at one step. */
export interface Factors {
  /** Of the learning rate, 0…1. */
  readonly rate: number;
  /** Of the weight decay, 0 or 1. */
  readonly decay: number;
}

/** One-cycle (Smith & Topin 2018, as in PyTorch's OneCycleLR): share of the rise, and where both ends lie. */
const CYCLE = { rise: 0.3, start: 1 / 25, end: 1 / 250_000 };
/** BitNet's two stages ("The era of 1-bit LLMs: training tips", 2024): the second begins at this share of the peak. */
const SECOND_STAGE = 2 / 3;

/**
 * The factors of a step.
 * @param step - from 0 to steps − 1
 * @param warmup - share of the steps over which the rate rises linearly to its peak, 0…1; one-cycle has its own rise
 * @example factorsAt('cosine', 0, 1000, 0.02) // ({ rate: 0.05, decay: 1 })
 */
export function factorsAt(schedule: ScheduleName, step: number, steps: number, warmup: number): Factors {
  if (schedule === 'one-cycle') return { rate: oneCycle(step, steps), decay: 1 };
  const rising = Math.round(warmup * steps);
  if (step < rising) return { rate: (step + 1) / rising, decay: 1 };
  const done = (step - rising) / (steps - rising);
  switch (schedule) {
    case 'constant':
      return { rate: 1, decay: 1 };
    case 'linear':
      return { rate: 1 - done, decay: 1 };
    case 'cosine':
      return { rate: (1 + Math.cos(Math.PI * done)) / 2, decay: 1 };
    case 'two-stage':
      // The rate falls linearly towards zero all along, with a drop at half; weight decay ends there.
      return done < 0.5 ? { rate: 1 - done, decay: 1 } : { rate: SECOND_STAGE * (1 - done), decay: 0 };
    default:
      return schedule satisfies never;
  }
}

/** The peak is at step rise·steps − 1, the end at the last step, as in PyTorch. */
function oneCycle(step: number, steps: number): number {
  const top = Math.max(0, CYCLE.rise * steps - 1);
  const [from, to, share] =
    step < top ? [CYCLE.start, 1, step / top] : [1, CYCLE.end, (step - top) / Math.max(1, steps - 1 - top)];
  return to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;
}
