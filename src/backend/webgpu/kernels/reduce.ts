/** The sum of one value of every thread of a workgroup, given to all of them. */

import type { Features } from './kernel.js';

/** The `enable` directives that `reduction` needs. */
export function reductionEnables({ subgroups }: Features): string[] {
  return subgroups ? ['subgroups'] : [];
}

/**
 * Defines `sumOfGroup(value, thread)`; all threads must call it together.
 * @param size - threads of the workgroup, a power of two
 */
export function reduction(size: number, { subgroups }: Features): string {
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
