/** What errors say of values from outside. */

import { describe, expect, it } from 'vitest';
import { expected, printable } from '../src/errors.js';
import { parseWidths } from '../src/ternary/builders/perceptron.js';

describe('a message', () => {
  it('shows no character that steers a terminal, wherever it came from', () => {
    const wild = '\u202e\u0007\u001b[2J\n';
    expect(printable(wild)).toMatch(/^[\x20-\x7e]+$/);
    for (const got of [wild, [wild], { toString: () => wild }]) {
      expect(expected('quantizer', 'a name', got).message).toMatch(/^[\x20-\x7e]+$/);
    }
    expect(() => parseWidths(wild)).toThrow(/^[\x20-\x7e]+$/);
  });

  it('is cut where a value is long', () => {
    expect(printable('x'.repeat(1000)).length).toBe(201);
  });
});
