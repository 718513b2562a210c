/** Checks that a run which is killed again and again, at any moment, ends in the same bytes as one that is not. */

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cliJson, startCli, stepped } from '../support/cli.js';
import { writeTinyData } from '../support/tiny-data.js';
import { tinyOptions } from '../support/tiny-runs.js';

const KILLS = 12;
const STEPS = 2600;

let root: string;
let data: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-kills-'));
  data = join(root, 'tiny');
  await writeTinyData(data);
});
afterAll(() => root && rm(root, { recursive: true }));

describe.each([
  ['a log of weights', ['--artifact', 'log', '--perturb', 'weights']],
  // Saved after every step, so that most kills find it saving.
  ['a pool of nodes', ['--artifact', 'pool', '--perturb', 'nodes', '--save-every', '0']],
])('%s', (name, kind) => {
  /**
   * Sends twelve SIGKILLs, every fifth while the run starts, the others after different numbers of its steps, and
   * lets it go on after each. The steps add up to less than the run has, so that each kill finds it going.
   */
  it('killed twelve times ends in the same bytes', async () => {
    const whole = join(root, `${name.replaceAll(' ', '-')}.tern`);
    const source = ['train', 'idx', '--data', data];
    const settings = [...source, ...tinyOptions, '--steps', String(STEPS), ...kind];
    await cliJson([...settings, '--out', whole]);
    const folder = await mkdtemp(join(root, 'dying-'));
    const out = join(folder, 'dying.tern');
    const told: string[] = [];
    let resumed = 0; // runs that went on from a step, not from the start
    for (let kill = 0; kill < KILLS; kill++) {
      const begin = existsSync(`${out}.partial`)
        ? [...source, '--resume', out, ...kind.slice(4)]
        : [...settings, '--out', out];
      const metrics = join(root, `${name}-${kill}.jsonl`);
      const run = startCli([...begin, '--threads', '1', '--metrics', metrics]);
      const early = kill % 5 === 4;
      const when = early ? 40 * kill : 1 + ((kill * 67) % 181);
      await (early ? sleep(when) : stepped(run, metrics, when));
      run.child.kill('SIGKILL');
      const { signal, stderr } = await run.ended;
      told.push(early ? `at the start, after ${when} ms` : `after ${when} steps`);
      expect(signal, `${told.join('\n')}\n${stderr}`).toBe('SIGKILL');
      if (stderr.includes('resuming at step')) resumed++;
    }
    expect(resumed, told.join('\n')).toBeGreaterThanOrEqual(KILLS / 2);
    await cliJson([...source, '--resume', out]);
    expect(await readFile(out), told.join('\n')).toEqual(await readFile(whole));
    expect(await readdir(dirname(out))).toEqual(['dying.tern']);
  });
});
