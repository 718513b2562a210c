/** Which slots of a program are of use how long, and which can share their room. */

import type { AnyOp, Graph } from './graph.js';

/** What matters here of operations: the slots that they read and write. */
export interface Program extends Pick<Graph, 'slots'> {
  readonly program: readonly Pick<AnyOp, 'inputs' | 'outputs'>[];
}

/** By slot: the index of the last operation that reads it, or of the one that writes it where none does. */
export function lastReads({ program, slots }: Program): number[] {
  const last = slots.map(() => -1);
  for (const [index, { inputs, outputs }] of program.entries()) {
    for (const slot of [...inputs, ...outputs]) last[slot] = index;
  }
  return last;
}

/**
 * Gives slots room, those of one kind and width the same where one is of no more use when the other is written: what
 * pads their rows is of one kind, too.
 * @param chosen - the slots that share
 * @param take - room for one, as an offset
 * @returns by slot, its offset
 */
export function shareRoom(
  graph: Program,
  chosen: ReadonlySet<number>,
  take: (slot: number) => number,
): Map<number, number> {
  const last = lastReads(graph);
  const places = new Map<number, number>();
  const free = new Map<string, number[]>();
  const listOf = (slot: number) => {
    const { kind, width } = graph.slots[slot];
    const list = free.get(`${kind} ${width}`) ?? [];
    free.set(`${kind} ${width}`, list);
    return list;
  };
  for (const [index, { inputs, outputs }] of graph.program.entries()) {
    const written = outputs.filter((slot) => chosen.has(slot));
    for (const slot of written) places.set(slot, listOf(slot).pop() ?? take(slot));
    for (const slot of new Set([...inputs, ...written])) {
      if (places.has(slot) && last[slot] === index) listOf(slot).push(places.get(slot) as number);
    }
  }
  return places;
}
