/** Finished artifacts of all kinds, trained by the command line, for the tests of what it says of them. */

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { cliJson } from './cli.js';
import { writeTinyData } from './tiny-data.js';
import { tinyOptions } from './tiny-runs.js';

export const STEPS = 12;
export const KINDS = ['log', 'pool', 'packed'] as const;

let root: string;
export let data: string;
/** A folder of its own for each test. */
export let folder: string;
/** Finished artifacts, made once: log, pool, packed. */
export const made: Record<string, string> = {};
/** What `train --json` printed of them. */
export const printed: Record<string, Record<string, unknown>> = {};

/** Makes them before the tests of a file, which call this first. */
export function makeArtifacts(): void {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'ternseed-cli-'));
    await chmod(root, 0o755);
    data = join(root, 'tiny');
    await writeTinyData(data);
    for (const kind of KINDS) {
      const out = join(root, `${kind}.tern`);
      made[kind] = out;
      printed[kind] = await cliJson(train(out, '--artifact', kind));
    }
  });
  afterAll(() => rm(root, { recursive: true, force: true }));
  beforeEach(async () => {
    folder = await mkdtemp(join(root, 'test-'));
  });
}

export const at = (name: string) => join(folder, name);
export const train = (out: string, ...more: string[]) => [
  ...['train', 'idx', '--data', data, ...tinyOptions, '--steps', String(STEPS), '--out', out, ...more],
];
