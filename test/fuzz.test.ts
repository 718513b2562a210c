/** A short run of scripts/fuzz.mjs, which says what is checked; a long one is `npm run fuzz -- --inputs 10000000`. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../scripts/fuzz.mjs', import.meta.url));

it('40,000 mutated inputs are refused with their place, or are what their hash says', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, '--inputs', '40000', '--json']);
  const { inputs, outcomes } = JSON.parse(stdout) as { inputs: number; outcomes: Record<string, number> };
  expect(inputs).toBe(40_000);
  // Every reader has refused inputs and taken some, so that none was passed by.
  for (const reader of ['artifact', 'unfinished log', 'checkpoint', 'arrays', 'idx', 'gzip', 'settings']) {
    expect(outcomes[`${reader} refused`], reader).toBeGreaterThan(1000);
  }
  for (const taken of ['unfinished log read', 'checkpoint read', 'arrays read', 'idx read', 'gzip read']) {
    expect(outcomes[taken], taken).toBeGreaterThan(10);
  }
  for (const late of ['accepted, its own weights', 'refused by its hash', 'refused when rebuilt']) {
    expect(outcomes[`artifact ${late}`], late).toBeGreaterThan(30);
  }
  expect(outcomes['artifact rebuilt on wasm']).toBeGreaterThan(0);
});
