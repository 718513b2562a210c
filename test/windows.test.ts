/** The windows that a run trains on. */

import { describe, expect, it } from 'vitest';
import { checkTextLength, WindowBatches } from '../src/data/windows.js';
import { ConfigError } from '../src/errors.js';

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

describe('a text', () => {
  it('too short for a window is refused', () => {
    expect(() => checkTextLength(counting(5), 4, 'training text')).not.toThrow();
    expect(() => checkTextLength(counting(4), 4, 'training text')).toThrow(ConfigError);
  });
});

describe('windows of training', () => {
  it('are each place of the text once an epoch, and the same whichever step is asked for first', () => {
    const text = counting(67);
    const batches = new WindowBatches([1, 2], text, 4, 3); // 64 places, 16 steps
    const starts: number[] = [];
    for (let step = 0; step < 16; step++) {
      batches.load(step);
      for (let b = 0; b < 4; b++) {
        const [start] = batches.inputs.subarray(b * 3);
        expect(batches.inputs.slice(b * 3, b * 3 + 3)).toEqual(text.slice(start, start + 3));
        expect(batches.labels.slice(b * 3, b * 3 + 3)).toEqual(text.slice(start + 1, start + 4));
        starts.push(start);
      }
    }
    expect(new Set(starts).size).toBe(64);
    const late = new WindowBatches([1, 2], text, 4, 3);
    late.load(9);
    expect([0, 3, 6, 9].map((at) => late.inputs[at])).toEqual(starts.slice(36, 40));
  });
});
