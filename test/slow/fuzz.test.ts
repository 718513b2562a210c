/** A short run of scripts/fuzz.mjs, which says what is checked; bench/results/fuzz.md has a long one. */

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../../scripts/fuzz.mjs', import.meta.url));

type Outcomes = Readonly<Record<string, number>>;

it('25,000 mutated inputs are refused with their place, or are what their hash says, by every way in', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, '--inputs', '25000', '--json']);
  const { inputs, counts } = JSON.parse(stdout) as {
    inputs: number;
    counts: Readonly<Record<string, Readonly<Record<string, Outcomes>>>>;
  };
  expect(inputs).toBe(25_000);
  const sum = (entry: string, outcome: string) =>
    Object.values(counts[entry]).reduce((total, outcomes) => total + (outcomes[outcome] ?? 0), 0);
  // Every reader has refused inputs and taken some, so that none was passed by.
  const taken = {
    openArtifact: 'accepted, other weights with a hash made for them',
    'openArtifactFrom, bytes': 'accepted',
    'openArtifactFrom, Blob': 'accepted',
    readUnfinishedLog: 'read',
    readCheckpoint: 'read',
    'readCheckpoint of arrays': 'read',
    importSafetensors: 'taken and quantized',
    parseIdx: 'read',
    gunzipBounded: 'read',
    checkConfig: 'taken',
  };
  const slow = ['openArtifactFrom, path', 'openArtifactFrom, URL']; // so they are few
  const others = [...slow, 'openArtifact, much work', 'kernels'];
  expect(Object.keys(counts).sort()).toEqual([...Object.keys(taken), ...others].sort());
  for (const entry of slow) expect(sum(entry, 'refused'), entry).toBeGreaterThan(5);
  for (const [entry, outcome] of Object.entries(taken)) {
    expect(sum(entry, 'refused'), entry).toBeGreaterThan(10);
    expect(sum(entry, outcome), entry).toBeGreaterThan(0);
  }
  expect(sum('openArtifact, much work', 'refused when rebuilt')).toBeGreaterThan(0);
  expect(sum('kernels', 'read alike')).toBeGreaterThan(100);
});
