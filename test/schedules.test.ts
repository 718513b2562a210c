/** The schedules against hand calculations, and one-cycle against PyTorch's. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { factorsAt, SCHEDULES, type ScheduleName } from '../src/backprop/schedules.js';

const rates = (schedule: ScheduleName, steps: number, warmup: number) =>
  Array.from({ length: steps }, (_, step) => factorsAt(schedule, step, steps, warmup).rate);

describe('schedules', () => {
  it.each(SCHEDULES)('%s stays within 0…1 at every step of every run', (schedule) => {
    const runs = fc
      .integer({ min: 1, max: 1_000_000 })
      .chain((steps) =>
        fc.tuple(
          fc.oneof(fc.constantFrom(0, steps - 1), fc.nat(steps - 1)),
          fc.constant(steps),
          fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        ),
      );
    fc.assert(
      fc.property(runs, ([step, steps, warmup]) => {
        const { rate, decay } = factorsAt(schedule, step, steps, warmup);
        expect(rate).toBeGreaterThan(0);
        expect(rate).toBeLessThanOrEqual(1);
        expect([0, 1]).toContain(decay);
      }),
      { numRuns: 2000 },
    );
  });

  it.each(SCHEDULES.filter((schedule) => schedule !== 'one-cycle'))('%s warms up linearly', (schedule) => {
    const all = rates(schedule, 200, 0.1);
    for (let step = 0; step < 20; step++) expect(all[step]).toBeCloseTo(0.05 * (step + 1), 12);
    expect(all[20]).toBe(1);
    expect(factorsAt(schedule, 0, 200, 0)).toEqual({ rate: 1, decay: 1 });
  });

  it('constant stays at its peak, with all of the decay', () => {
    for (const step of [0, 1, 500, 999])
      expect(factorsAt('constant', step, 1000, 0)).toEqual({ rate: 1, decay: 1 });
  });

  it('linear falls by the same at every step, to zero at the end', () => {
    expect(rates('linear', 4, 0)).toEqual([1, 0.75, 0.5, 0.25]);
    expect(rates('linear', 5, 0.2)).toEqual([1, 1, 0.75, 0.5, 0.25]);
    expect(factorsAt('linear', 999, 1000, 0).decay).toBe(1);
  });

  it('cosine has half of its fall behind it in the middle, after the warm-up', () => {
    const all = rates('cosine', 1000, 0);
    expect(all[0]).toBe(1);
    expect(all[250]).toBeCloseTo((1 + Math.SQRT1_2) / 2, 12);
    expect(all[500]).toBeCloseTo(0.5, 12);
    expect(all[750]).toBeCloseTo((1 - Math.SQRT1_2) / 2, 12);
    expect(all[999]).toBeLessThan(1e-5);
    expect(rates('cosine', 1000, 0.2)[600]).toBeCloseTo(0.5, 12);
    expect(factorsAt('cosine', 999, 1000, 0).decay).toBe(1);
  });

  it('one-cycle is PyTorch’s over a long run', () => {
    // python3 -c "import torch; o = torch.optim.SGD([torch.zeros(1)], lr=1)
    // s = torch.optim.lr_scheduler.OneCycleLR(o, max_lr=1, total_steps=100000, cycle_momentum=False)
    // for i in range(100000): r = o.param_groups[0]['lr']; i in (0, 10000, …) and print(i, r); o.step(); i < 99999 and s.step()"
    const pytorch: [step: number, rate: number][] = [
      [0, 0.04],
      [10_000, 0.2800145110248331],
      [15_000, 0.5200251335790032],
      [20_000, 0.7600290211722918],
      [29_999, 1],
      [40_000, 0.9504748952704022],
      [65_000, 0.49997956014224165],
      [90_000, 0.04950963215081897],
      [99_999, 4e-6],
    ];
    for (const [step, rate] of pytorch) {
      expect(factorsAt('one-cycle', step, 100_000, 0).rate).toBeCloseTo(rate, 9);
    }
    expect(factorsAt('one-cycle', 99_999, 100_000, 0).rate).toBeCloseTo(1 / 250_000, 8);
  });

  it('one-cycle starts at 1/25, peaks at 30%, and has no other warm-up', () => {
    const all = rates('one-cycle', 1000, 0);
    expect(all[0]).toBeCloseTo(1 / 25, 12);
    expect(all.indexOf(Math.max(...all))).toBe(299);
    expect(all[299]).toBe(1);
    for (let step = 1; step < 1000; step++) expect(all[step] > all[step - 1]).toBe(step <= 299);
    expect(rates('one-cycle', 1000, 0.5)).toEqual(all);
    expect(factorsAt('one-cycle', 999, 1000, 0).decay).toBe(1);
  });

  it('two-stage drops the rate by a third and ends the decay in the middle, after the warm-up', () => {
    expect(factorsAt('two-stage', 0, 1000, 0)).toEqual({ rate: 1, decay: 1 });
    expect(factorsAt('two-stage', 499, 1000, 0)).toEqual({ rate: 0.501, decay: 1 });
    expect(factorsAt('two-stage', 500, 1000, 0).rate).toBeCloseTo(1 / 3, 12);
    expect(factorsAt('two-stage', 999, 1000, 0).rate).toBeCloseTo(2 / 3000, 12);
    const decays = Array.from({ length: 1000 }, (_, step) => factorsAt('two-stage', step, 1000, 0.1).decay);
    expect(decays.lastIndexOf(1)).toBe(549);
    expect(decays.indexOf(0)).toBe(550);
  });
});
