/** Logs of more steps than a call has room for as arguments, and runs that keep none of their steps. */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ofExamples } from '../cli/noise-step.js';
import { Run } from '../cli/run.js';
import { encodeSeedLog, openArtifact, withEnd } from '../src/artifact/artifact.js';
import { rebuild } from '../src/artifact/rebuild.js';
import type { LogStep } from '../src/artifact/seed-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { loadIdxDirectory } from '../src/data/dataset.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import type { NoiseStepConfig } from '../src/perturb/config.js';
import { reference } from './support/backends.js';
import { cli, onlyObject } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyConfig } from './support/tiny-runs.js';

/** More than a call takes as arguments, and than a stack has room for. */
const STEPS = 131_072;

let folder: string;
const at = (name: string) => join(folder, name);
const json = async (...args: string[]) => onlyObject((await cli([...args, '--json'])).stdout);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-long-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('a log of 131,072 steps', () => {
  let hash: string;
  beforeAll(async () => {
    const header = {
      ...{
        kind: 'log' as const,
        model: '4-2',
        centred: true,
        gain: 40,
        logitScale: 1,
        key: '0123456789abcdef',
      },
      ...{ cut: 1, directions: [2], config: {}, data: { name: 'none', hash: '' } },
    };
    function* steps(): Generator<LogStep> {
      for (let seedStep = 1; seedStep <= STEPS; seedStep++) {
        const coefficients = Int8Array.of((seedStep % 3) - 1, ((seedStep >> 3) % 3) - 1);
        yield { seedStep, nonzeros: 1 + (seedStep & 1), loss: seedStep & 15, coefficients };
      }
    }
    const bytes = encodeSeedLog(header, steps(), { steps: STEPS, weightsHash: '0'.repeat(64) });
    hash = await weightsHash(await rebuild(openArtifact(bytes), reference));
    await writeFile(at('long.tern'), withEnd(bytes, { steps: STEPS, weightsHash: hash }));
  });

  it('is listed, edited and joined', async () => {
    const { stdout } = await cli(['log', at('long.tern'), '--steps', `2-${STEPS}`]);
    expect(stdout.split('\n')).toHaveLength(STEPS + 2); // two heads, no first step, and what follows the last line
    await json('edit', at('long.tern'), '--drop', `2-${STEPS}`, '--out', at('first.tern'));
    const [most, one] = [at('most.tern'), at('first.tern')];
    const edited = await json('edit', at('long.tern'), '--drop', '1-1', '--out', most);
    expect(edited).toMatchObject({ steps: STEPS - 1 });
    const joined = await json('concat', one, most, '--out', at('both.tern'));
    expect(joined).toMatchObject({ steps: STEPS, weightsHash: hash });
  });
});

describe('the run of a log', () => {
  /** Bytes of the heap and of arrays, after all that nobody needs was freed. */
  const used = async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let round = 0; round < 4; round++) {
      collect();
      await setImmediate(); // what is freed late, such as buffers, is gone by the next
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const config: NoiseStepConfig = {
    ...{ ...tinyConfig, artifact: 'log' as const, perturb: 'weights' as const },
    ...{ directions: 320, nonzeros: [1], nonzerosBelow: [], steps: 5000, batch: 1 },
  };
  // A step would take its coefficients at least; a trainer takes less than half a megabyte.
  const kept = (steps: number) => config.directions * steps;

  it('keeps none of its steps, nor does a run that goes on', async () => {
    await writeTinyData(at('tiny'));
    const backend = await openWasm({ threads: 1 });
    const subject = ofExamples(await loadIdxDirectory(at('tiny')), backend);
    const place = { backend, out: at('run.tern') };
    const run = await Run.start(config, subject, place);
    const trainTo = async (step: number) => {
      while (run.step < step) await run.next();
    };
    await trainTo(100);
    const before = await used();
    await trainTo(4100);
    expect((await used()) - before).toBeLessThan(kept(4000) / 2);
    run.close();
    const without = await used();
    const again = await Run.resume(subject, place);
    expect(again.step).toBe(4100);
    expect((await used()) - without).toBeLessThan(kept(4100) / 2);
    again.discard();
    await backend.close();
  });
});
