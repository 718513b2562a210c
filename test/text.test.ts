/** Text and its windows: the split, the order of training, and that scoring predicts every byte once. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadText, splitText } from '../src/data/text.js';
import { checkTextLength, scoredWindows, WindowBatches } from '../src/data/windows.js';
import { ConfigError, InputError } from '../src/errors.js';

const counting = (length: number) => Uint8Array.from({ length }, (_, i) => i);

describe('a text', () => {
  it('is split nine to one, and known by its SHA-256', async () => {
    // printf '0123456789abc' | sha256sum
    const { train, test, hash } = await splitText('digits', new TextEncoder().encode('0123456789abc'));
    expect(new TextDecoder().decode(train)).toBe('0123456789a');
    expect(new TextDecoder().decode(test)).toBe('bc');
    expect(hash).toBe('8f740516939545e1bc545c869f535170a85004e1f3b92dc84c84bdb89b7d52ef');
  });

  it('is read from a file of any bytes, and what is no such file is refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ternseed-text-'));
    try {
      const path = join(folder, 'bytes.bin');
      writeFileSync(path, counting(100));
      expect(await loadText(path)).toMatchObject({ name: 'bytes.bin', train: counting(90) });
      writeFileSync(path, '');
      for (const wrong of [path, folder, join(folder, 'none')]) {
        await expect(loadText(wrong)).rejects.toThrow(InputError);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

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

describe('scored windows', () => {
  it('predict every byte but the first once, with the context that the stride leaves', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), fc.nat(40), fc.nat(8), (context, more, less) => {
        const length = context + 1 + more;
        const stride = Math.max(1, context - less);
        const predicted: number[] = [];
        for (const { start, first } of scoredWindows(length, context, stride)) {
          expect(start).toBeGreaterThanOrEqual(0);
          expect(start + context).toBeLessThan(length);
          if (start > 0) expect(first).toBeGreaterThanOrEqual(context - stride);
          for (let position = first; position < context; position++) predicted.push(start + 1 + position);
        }
        expect(predicted).toEqual(Array.from({ length: length - 1 }, (_, i) => i + 1));
      }),
    );
  });
});
