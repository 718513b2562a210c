/** The sum of one value of every thread of a workgroup, given to all of them. */

import { type Features, groupMain, type Groups, itemGroups, itemMain } from './kernel.js';

/** The `enable` directives that `reduction` needs. */
export function reductionEnables({ subgroups }: Features, alone = false): string[] {
  return subgroups && !alone ? ['subgroups'] : [];
}

/**
 * Defines `sumOfGroup(value, thread)`; all threads must call it together.
 * @param sharing - threads of the workgroup, a power of two; or each is alone, and has its sum already
 */
export function reduction({ alone, size }: RowSharing, { subgroups }: Features): string {
  if (alone) return 'fn sumOfGroup(value: i32, thread: u32) -> i32 { return value; }';
  if (subgroups) {
    // One addition a subgroup; which threads make one up is the device's affair.
    return `
var<workgroup> groupTotal: atomic<i32>;
fn sumOfGroup(value: i32, thread: u32) -> i32 {
  if (thread == 0u) { atomicStore(&groupTotal, 0); }
  workgroupBarrier();
  let share = subgroupAdd(value);
  if (subgroupElect()) { atomicAdd(&groupTotal, share); }
  workgroupBarrier();
  let total = atomicLoad(&groupTotal);
  workgroupBarrier(); // all have read it before the next sum begins
  return total;
}`;
  }
  return `
var<workgroup> groupSums: array<i32, ${size}>;
fn sumOfGroup(value: i32, thread: u32) -> i32 {
  groupSums[thread] = value;
  for (var half = ${size / 2}u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (thread < half) { groupSums[thread] += groupSums[thread + half]; }
  }
  workgroupBarrier();
  let total = groupSums[0];
  workgroupBarrier(); // all have read it before the next sum begins
  return total;
}`;
}

/** Threads for a row of so many items: enough to share the work, few enough that none is idle. */
export function threadsFor(items: number): number {
  return items <= 32 ? 32 : items <= 256 ? 64 : 256;
}

/** Rows of so few units are not worth sharing: a thread takes a whole one, and none waits for another. */
const UNITS_ALONE_MAX = 64;
/** Threads of a workgroup, and so rows, where a thread takes a whole one. */
const ALONE_SIZE = 64;

/** How a kernel deals rows out to threads. */
export interface RowSharing {
  /** Whether a thread takes a whole row. */
  readonly alone: boolean;
  /** Threads of a workgroup. */
  readonly size: number;
}

export function sharingOf(units: number): RowSharing {
  const alone = units <= UNITS_ALONE_MAX;
  return { alone, size: alone ? ALONE_SIZE : threadsFor(units / 4) };
}

/** Workgroups for so many rows. */
export function rowGroups(units: number, rows: number): Groups {
  return itemGroups(rows, sharingOf(units).alone ? ALONE_SIZE : 1);
}

/**
 * A `main` that runs `body` for each row below `params.rows`, with `row`, and with `member` of the
 * `MEMBERS` threads that share it.
 */
export function rowMain({ alone, size }: RowSharing, body: string): string {
  const start = `
  let row = item;
  let member = ${alone ? '0u' : 'thread'};
  if (row >= params.rows) { return; }
${body}`;
  return `const MEMBERS = ${alone ? 1 : size}u;${alone ? itemMain(start, size) : groupMain(size, start)}`;
}
