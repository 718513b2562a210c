/** Where the sums of a program are disturbed, and what a pass must leave for it. */

import { TRAININGS } from '../../ops/webgpu-training.js';
import { Continuations, type Step } from '../../ternary/continuations.js';
import type { AnyOp, Graph, OpName, Probe } from '../../ternary/graph.js';
import { lastReads } from '../../ternary/liveness.js';
import type { Disturbing } from './forward.js';
import type { Training } from './recipe.js';
import type { Unit } from './units.js';

/** An operation whose tensor is aligned. */
export interface Site {
  /** Of the unit. */
  readonly index: number;
  readonly op: AnyOp;
  readonly probe: Probe | 'exact';
  /** The slot of its sums, and their width. */
  readonly sums: number;
  readonly units: number;
  /** What is computed again; null where errors are exact. */
  readonly head: Step | null;
  /** Whether the head's operation disturbs sums by itself. */
  readonly claimed: boolean;
}

/** The sites of a program, and what they need of a pass. */
export interface Sites extends Disturbing {
  /** By unit, those whose turn it is when that is done. */
  readonly after: readonly (readonly Site[])[];
}

/** Finds where a program is disturbed. */
export function sitesOf(graph: Graph, units: readonly Unit[]): Sites {
  const { slots } = graph;
  const program = { program: units, slots };
  const continuations = new Continuations(program);
  const last = lastReads(program);
  const writer = slots.map((_, slot) => units.findIndex(({ outputs }) => outputs.includes(slot)));
  const moved = new Set<number>();
  const after: Site[][] = units.map(() => []);
  const reads: { after: number; slots: readonly number[] }[] = [];
  for (const [index, { op, inputs }] of units.entries()) {
    const { probe } = op;
    if (probe === undefined) continue;
    const [sums] = op.outputs;
    const head = probe === 'exact' ? null : continuations.after(index);
    const claimed =
      head !== null &&
      last[sums] === head.at &&
      trainingOf(units[head.at].op).disturb?.claims(units[head.at].op as never, probe as Probe) === true;
    const needs = new Set(inputs);
    if (probe === 'exact') for (const slot of (units.at(-1) as Unit).inputs) needs.add(slot);
    else {
      needs.add(sums);
      if (probe.active !== null) needs.add(probe.active);
      if (!claimed) moved.add(sums);
    }
    for (let step = head; step; step = step.next) {
      for (const slot of units[step.at].outputs) moved.add(slot);
      for (const slot of units[step.at].inputs) if (!step.disturbed.has(slot)) needs.add(slot);
    }
    const done = probe === 'exact' ? units.length - 1 : Math.max(...[...needs].map((slot) => writer[slot]));
    const turn = claimed ? Math.max(done, (head as Step).at) : done;
    after[turn].push({ index, op, probe, sums, units: slots[sums].width, head, claimed });
    reads.push({ after: turn, slots: [...needs] });
  }
  return { after, reads, moved };
}

/** What training needs of an operation. */
export function trainingOf({ op }: AnyOp): Training<OpName> {
  return (TRAININGS[op] ?? {}) as unknown as Training<OpName>;
}
