/** What the tests of bytes that lie share: runs to damage, ways to damage them, and what must come of it. */

import { expect, vi } from 'vitest';
import { openArtifact } from '../../src/artifact/artifact.js';
import { rebuildVerified } from '../../src/artifact/rebuild.js';
import { ArtifactError } from '../../src/errors.js';
import { reference } from './backends.js';
import { concat, joinSections, type RawSection } from './sections.js';
import { type TrainedRun, tinyRun } from './tiny-runs.js';

export const KINDS = [
  { artifact: 'log', perturb: 'weights', cut: 0 },
  { artifact: 'log', perturb: 'nodes', cut: 1 },
  { artifact: 'pool', perturb: 'nodes', cut: 1 },
  { artifact: 'packed', perturb: 'nodes', cut: 1 },
] as const;

/** No reader may ask for a larger array before it has seen that the file is worth it. */
export const ALLOCATION_MAX = 2 ** 26;

export const REFUSED = 'refused';
export const SAME = 'the same weights';

const runs = new Map<string, TrainedRun>();
/** Trains a run of each kind. */
export async function trainAll(): Promise<void> {
  for (const kind of KINDS) runs.set(nameOf(kind), await tinyRun(kind, reference));
}
const nameOf = ({ artifact, perturb }: (typeof KINDS)[number]) => `${artifact} of ${perturb}`;
/** The run of a kind, which `trainAll` has made. */
export const runOf = (kind: (typeof KINDS)[number]) => runs.get(nameOf(kind)) as TrainedRun;

/** The bytes must not open, for a reason that is told with section and byte. */
export function expectRefused(bytes: Uint8Array): void {
  expectFault(
    errorOf(() => openArtifact(bytes)),
    bytes,
  );
}

/** The bytes must be refused, when opened or when rebuilt, or hold the weights of that hash. */
export async function expectSafe(bytes: Uint8Array, hash: string): Promise<typeof REFUSED | typeof SAME> {
  const artifact = await openAndRebuild(bytes).catch((error) => {
    expectFault(error, bytes);
    return null;
  });
  if (artifact === null) return REFUSED;
  expect(artifact.weightsHash).toBe(hash);
  return SAME;
}

export async function openAndRebuild(bytes: Uint8Array) {
  const artifact = openArtifact(bytes);
  await rebuildVerified(artifact, reference);
  return artifact;
}

export function expectFault(error: unknown, bytes: Uint8Array): { section: string; byte: number } {
  expect(error).toBeInstanceOf(ArtifactError);
  const { message, exitCode } = error as ArtifactError;
  expect(exitCode).toBe(3);
  const told = /^([a-z]+) at byte (\d+): ./.exec(message);
  expect(told, message).not.toBeNull();
  const byte = Number(told?.[2]);
  expect(byte).toBeLessThanOrEqual(bytes.length);
  return { section: String(told?.[1]), byte };
}

export function errorOf(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Bytes of the largest typed array that is made during some work. */
export function largestAllocation(work: () => unknown): number {
  let largest = 0;
  for (const name of ['Int8Array', 'Uint8Array', 'Int16Array', 'Float64Array', 'Uint32Array'] as const) {
    const counting = new Proxy(globalThis[name] as new (...args: unknown[]) => { byteLength: number }, {
      construct(target, args, newTarget) {
        const array = Reflect.construct(target, args, newTarget) as { byteLength: number };
        if (typeof args[0] === 'number') largest = Math.max(largest, array.byteLength);
        return array;
      },
    });
    vi.stubGlobal(name, counting);
  }
  try {
    work();
  } finally {
    vi.unstubAllGlobals();
  }
  return largest;
}

export function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  const copy = bytes.slice();
  copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7));
  return copy;
}

/** A byte less at either end, a byte more, and nothing. */
export function resized(payload: Uint8Array): Uint8Array[] {
  return [payload.subarray(0, -1), payload.subarray(1), concat(payload, Uint8Array.of(0)), new Uint8Array(0)];
}

export function replaced(sections: readonly RawSection[], index: number, payload: Uint8Array): Uint8Array {
  return joinSections(sections.with(index, { ...(sections[index] as RawSection), payload }));
}
