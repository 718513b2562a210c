/** The signs by which node perturbation moves pre-activations. */

import { type Key, philox, Purpose, streamOf } from '../../random/philox.js';

/**
 * Signs of one probe: random on the active units, zero elsewhere. Probes come in groups of 16
 * that share their random base; within a group, probe r flips the base of the active unit of
 * rank k where the Walsh function r is −1 at k mod 16, so the probes of a group are orthogonal
 * over every 16 active units.
 * @param active - [units], 0 where a unit is not
 * @param site - what is disturbed: an operation as it is applied
 * @returns [units] ±1 or 0
 */
export function probeSigns(
  active: Uint8Array,
  probe: number,
  key: Key,
  step: number,
  site: number,
  example: number,
): Int8Array {
  const signs = new Int8Array(active.length);
  const words = new Uint32Array(4);
  const group = probe >> 4;
  let rank = 0;
  for (let unit = 0; unit < active.length; unit++) {
    if ((unit & 127) === 0) {
      philox(key, (unit >>> 7) | (group << 16), example, step, streamOf(Purpose.probe, site), words);
    }
    if (active[unit] === 0) continue;
    const base = (words[(unit >>> 5) & 3] >>> (unit & 31)) & 1;
    signs[unit] = base ^ parity(probe & rank & 15) ? -1 : 1;
    rank++;
  }
  return signs;
}

function parity(bits: number): number {
  return (0x6996 >>> bits) & 1;
}
