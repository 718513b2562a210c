/**
 * Node perturbation: a part of a batch goes through the program once; as soon as what its site needs is there, the
 * sums of a probed operation are disturbed, and copies of all rows go on from there to their losses, as many probes at
 * a time as there is room for. Loaded with the first model that is placed with room for probes.
 */

import { type DirectionSet, nonzerosMax } from '../../random/directions.js';
import { Purpose, streamOf } from '../../random/philox.js';
import type { Step } from '../../ternary/continuations.js';
import type { Probe } from '../../ternary/graph.js';
import { alignmentShift, type Probes } from '../backend.js';
import type { DeviceBuffer } from './device.js';
import type { Forward } from './forward.js';
import { directionsKernel } from './kernels/align.js';
import { itemGroups } from './kernels/kernel.js';
import {
  activeSignsKernel,
  disturbSumsKernel,
  errorsKernel,
  quadGroups,
  rewardsKernel,
  signsKernel,
  sizesKernel,
  UNITS_PER_BLOCK,
} from './kernels/probes.js';
import { keyParams, setParams, SIGNED_SIZE } from './kernels/random.js';
import { rowGroups } from './kernels/reduce.js';
import { isPacked, packedWords, PROBES_PER_GROUP, roundUp, type RowPlan } from './plan.js';
import type { Errors, Rows } from './recipe.js';
import { type Site, type Sites, trainingOf } from './sites.js';
import type { Unit } from './units.js';
import type { Workspace } from './workspace.js';

export { sitesOf } from './sites.js';

/** A set, and where its directions begin among those of all sets. */
interface PlacedSet {
  readonly set: DirectionSet;
  readonly first: number;
}

export class NodeAligner {
  readonly #errors: Errors;
  readonly #signs: DeviceBuffer;
  readonly #sizes: DeviceBuffer;
  readonly #rewards: DeviceBuffer;

  constructor(
    readonly forward: Forward,
    readonly sites: Sites,
    readonly space: Workspace,
    readonly plan: RowPlan,
  ) {
    const all = sites.after.flat();
    const { slots } = forward.graph;
    const { rows } = plan;
    const stride = roundUp(rows, 16) / 4;
    const units = Math.max(1, ...all.map((site) => site.units));
    const columns = Math.max(1, ...all.map(({ op }) => slots[op.inputs[0]].width));
    this.#errors = {
      errorsLow: space.take('batch', 'errors', units * stride),
      errorsHigh: space.take('batch', 'errors', units * stride),
      inputs: space.take('batch', 'transposed inputs', columns * stride),
      stride,
    };
    this.#signs = space.take('work', 'signs of probes', rows * units);
    this.#sizes = space.take('work', 'sizes of probes', rows);
    this.#rewards = space.take('work', 'rewards', rows * plan.probes);
  }

  /**
   * Records a batch: its evaluation, and alignments of directions, or of all weights.
   * @param limit - of a reward
   * @returns the buffer of alignments, [Σ K] or [parameters]
   */
  record(
    parts: readonly Rows[],
    probes: Probes,
    limit: number,
    sets?: readonly DirectionSet[],
  ): DeviceBuffer {
    const { forward, space } = this;
    let count = 0;
    const places = sets?.map((set): PlacedSet => ({
      set,
      first: (count += set.directions) - set.directions,
    }));
    const trained = this.sites.after
      .flat()
      .filter(({ probe }) => probe === 'exact' || probes.probes > 0)
      .filter(({ op }) => !sets || sets.some(({ group }) => group === op.tensors[0]));
    // Sums of weights go to directions at once where nothing else is to be added to them.
    const isDirect = ({ op }: Site) =>
      sets !== undefined &&
      parts.length === 1 &&
      trained.filter((site) => site.op.tensors[0] === op.tensors[0]).length === 1 &&
      trainingOf(op).alignSet !== undefined;
    const summed = new Set(trained.filter((site) => !isDirect(site)).map(({ op }) => op.tensors[0]));
    const alignments = space.growing('alignments', count);
    const hasSums = !sets || summed.size > 0;
    const sums = hasSums ? space.growing('alignments of weights', forward.graph.parameters) : alignments;
    for (const buffer of new Set([alignments, sums])) space.device.clear(buffer);
    for (const part of parts) {
      forward.recordAll(part, undefined, (index) => {
        for (const site of this.sites.after[index]) {
          if (!trained.includes(site)) continue;
          if (site.probe === 'exact') this.#exact(part);
          else this.probe(site, part, probes, limit);
          const place = places?.find(({ set }) => set.group === site.op.tensors[0]);
          if (place && isDirect(site)) this.align(site, part, alignments, place);
          else this.align(site, part, sums);
        }
      });
    }
    for (const { set, first } of places ?? []) {
      if (!summed.has(set.group)) continue;
      space.recorder.run(
        'directions',
        directionsKernel,
        { sums, alignments },
        { ...setParams(set), first, shift: alignmentShift(nonzerosMax(set)) },
        itemGroups(set.size, SIGNED_SIZE),
      );
    }
    return sets ? alignments : sums;
  }

  /** Records the alignments that a site's errors make: added to the sums of weights, or to the directions of a set. */
  align({ index, op }: Site, part: Rows, to: DeviceBuffer, direct?: PlacedSet): void {
    const at = this.forward.pass(index, part, null);
    const { align, alignSet } = trainingOf(op);
    if (direct) alignSet?.(op as never, at, this.#errors, direct.set, to, direct.first);
    else align?.(op as never, at, this.#errors, to);
  }

  /** Records the errors of the last operation's inputs, which have a closed form. */
  #exact(part: Rows): void {
    const last = this.forward.units.length - 1;
    const { op } = this.forward.units[last];
    trainingOf(op).exactErrors?.(op as never, this.forward.pass(last, part, null), this.#errors);
  }

  /** Records the errors of a site, which all of its probes add up to. */
  probe(site: Site, part: Rows, probes: Probes, limit: number): void {
    const { units } = site;
    const { rows } = part;
    const probe = site.probe as Probe;
    if (!site.claimed) {
      this.space.recorder.run(
        `sizes ${probe.size}`,
        () => sizesKernel(probe.size),
        { sums: this.forward.source(site.sums, part).buffer, sizes: this.#sizes },
        { rows, units, sigma: probes.sigma },
        itemGroups(rows, 1),
      );
    }
    const atOnce = Math.min(this.plan.probes, Math.floor(this.plan.copies / (2 * rows)));
    for (let from = 0; from < probes.probes; from += PROBES_PER_GROUP) {
      this.#recordSigns(site, probe, part, probes, from / PROBES_PER_GROUP);
      const end = Math.min(probes.probes, from + PROBES_PER_GROUP);
      for (let firstProbe = from; firstProbe < end; firstProbe += atOnce) {
        const count = Math.min(atOnce, end - firstProbe);
        const copies: Rows = { ...part, rows: 2 * count * rows, kind: 'copies' };
        this.#disturb(site, part, copies, firstProbe, probes.sigma);
        this.#reward(site, probe, part, probes, limit, firstProbe, count);
      }
    }
  }

  /** Records the signs of a group of probes. */
  #recordSigns(
    { units }: Site,
    { active, site }: Probe,
    part: Rows,
    { key, step, shard }: Probes,
    group: number,
  ): void {
    const { recorder } = this.space;
    const { rows } = part;
    const signs = this.#signs;
    const firstExample = (shard?.first ?? 0) + part.first;
    const stream = streamOf(Purpose.probe, site);
    const params = { ...keyParams(key), step, stream, group, rows, firstExample };
    if (active === null) {
      const blocks = Math.ceil(units / UNITS_PER_BLOCK);
      recorder.run('signs', signsKernel, { signs }, { ...params, units }, itemGroups(rows * blocks, 1));
      return;
    }
    const words = isPacked(this.forward.graph.slots[active].kind) ? packedWords(units) : null;
    recorder.run(
      `activeSigns ${units} ${words}`,
      () => activeSignsKernel(units, words),
      { x: this.forward.source(active, part).buffer, signs },
      params,
      rowGroups(units, rows),
    );
  }

  /** Records disturbed copies, from a site's sums to their losses. */
  #disturb(
    { sums, units, head, claimed }: Site,
    part: Rows,
    copies: Rows,
    firstProbe: number,
    sigma: number,
  ): void {
    const { forward } = this;
    const [signs, sizes] = [this.#signs, this.#sizes];
    let step: Step | null = head as Step;
    if (claimed) {
      const { op } = forward.units[step.at];
      const undisturbed = forward.pass(step.at, part, null);
      const at = forward.pass(step.at, copies, step.disturbed);
      trainingOf(op).disturb?.record(op as never, at, { undisturbed, signs, firstProbe, sigma });
      step = step.next;
    } else {
      const [own, disturbed] = [forward.source(sums, part), forward.source(sums, copies, true)];
      this.space.recorder.runItems(
        'disturbSums',
        disturbSumsKernel,
        { sums: own.buffer, sizes, signs, copies: disturbed.buffer },
        { examples: part.rows, units, firstProbe },
        copies.rows * units,
      );
    }
    for (; step; step = step.next) forward.record(step.at, copies, step.disturbed);
  }

  /** Records the rewards of probes, and what they add to the errors. */
  #reward(
    { units }: Site,
    probe: Probe,
    part: Rows,
    { rewardShift, horizon = 0 }: Probes,
    limit: number,
    firstProbe: number,
    probes: number,
  ): void {
    const { recorder } = this.space;
    const { rows, length } = part;
    const [rewards, signs] = [this.#rewards, this.#signs];
    const [losses] = (this.forward.units.at(-1) as Unit).outputs;
    const later = probe.horizon ? horizon : 0;
    recorder.runItems(
      'rewards',
      rewardsKernel,
      { losses: this.forward.source(losses, part, true).buffer, rewards },
      { examples: rows, probes, length, horizon: later, rewardShift, limit },
      rows * probes,
    );
    const { errorsLow, errorsHigh, stride } = this.#errors;
    recorder.run(
      'errors',
      errorsKernel,
      { signs, rewards, errorsLow, errorsHigh },
      { rows, units, stride, firstProbe, probes, add: firstProbe > 0 ? 1 : 0 },
      quadGroups(units, rows),
    );
  }
}
