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
        const window = batches.windows.slice(b * 4, b * 4 + 4);
        expect(window).toEqual(text.slice(window[0], window[0] + 4));
        starts.push(window[0]);
      }
    }
    expect(new Set(starts).size).toBe(64);
    const late = new WindowBatches([1, 2], text, 4, 3);
    late.load(9);
    expect([0, 4, 8, 12].map((at) => late.windows[at])).toEqual(starts.slice(36, 40));
  });
});
