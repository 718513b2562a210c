/** Logs of few bytes that ask for hours, and those that ask for much with right: what a file is worth, and giving up. */

import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { encodeSeedLog, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import { bytesSource } from '../src/artifact/byte-source.js';
import { editLog } from '../src/artifact/edit.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { rebuild, rebuildPart, rebuildTensor } from '../src/artifact/rebuild.js';
import { LogBlockWriter, type LogStep } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { requireRebuildable, workMax } from '../src/artifact/work.js';
import type { Backend } from '../src/backend/backend.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { ArtifactError, ConfigError } from '../src/errors.js';
import { concat, headerPayload, joinSections, leb128 } from './support/sections.js';
import { reference } from './support/backends.js';
import { because, pythonFault } from './support/missing.js';

const header = (model: string, directions: readonly number[]) => ({
  ...{ kind: 'log' as const, model, centred: true, gain: 40, logitScale: 1, key: '0123456789abcdef', cut: 1 },
  ...{ directions, config: {}, data: { name: 'none', hash: '' } },
});
const end = (steps: number) => ({ type: 'E', payload: concat(leb128(steps), new Uint8Array(32)) });
const outcome = (steps: number) => ({ steps, weightsHash: '0'.repeat(64) });

/** Steps that move all weights of a model along one direction, which costs nothing to code. */
function* alike(steps: number, nonzeros: number): Generator<LogStep> {
  const coefficients = Int8Array.of(1);
  for (let seedStep = 1; seedStep <= steps; seedStep++) yield { seedStep, nonzeros, loss: 0, coefficients };
}

/** A log of one block, whatever it costs to rebuild. */
function bomb(steps: number): Uint8Array {
  const lie = header('64-64', [1]);
  const block = new LogBlockWriter(lie, 1);
  for (const step of alike(steps, 4096)) block.add(step);
  return concat(openingOfLog(lie), block.finish(), joinSections([end(steps)]).subarray(5));
}

let wasm: Backend;
let folder: string;
beforeAll(async () => {
  wasm = await openWasm({ threads: 1 });
  folder = await mkdtemp(join(tmpdir(), 'ternseed-work-'));
});
afterAll(async () => {
  await wasm.close();
  await rm(folder, { recursive: true });
});

describe('a log of some hundred bytes that moves a hundred million weights', () => {
  const refused = /^log at byte \d+: expected at most \d+ units of work in \d+ bytes, got more$/;
  let bytes: Uint8Array;
  beforeAll(() => {
    bytes = bomb(30_000);
  });

  it('is refused by every way in, once it has used up what its bytes are worth', async () => {
    expect(bytes.length).toBeLessThan(400);
    const log = openArtifact(bytes) as SeedLog;
    let steps = 0;
    const count = () => {
      for (const { step } of log.replaySteps()) steps = step;
    };
    expect(count).toThrow(refused);
    expect(steps * (128 + 16 + 4096)).toBeLessThanOrEqual(workMax(bytes.length));
    expect((steps + 1) * (128 + 16 + 4096)).toBeGreaterThan(workMax(bytes.length));
    await expect(rebuild(log, wasm)).rejects.toThrow(ArtifactError);
    await expect(editLog(log, [{ edit: 'drop', from: 1, to: 1 }], wasm)).rejects.toThrow(refused);
    const distant = await openArtifactFrom(bytesSource(bytes));
    await expect(distant.rebuildTensor('layer0.weight')).rejects.toThrow(refused);
    const unfinished = readUnfinishedLog(bytes.subarray(0, -40));
    expect(unfinished.steps).toBe(30_000);
    expect(() => Array.from(unfinished.replaySteps(), () => 0)).toThrow(refused);
  });

  it.skipIf(pythonFault !== null)(`is refused by the reader in Python${because(pythonFault)}`, async () => {
    await writeFile(join(folder, 'bomb.tern'), bytes);
    const reader = fileURLToPath(new URL('../docs/reader.py', import.meta.url));
    const failed = await promisify(execFile)('python3', [reader, join(folder, 'bomb.tern')]).catch(
      (error) => error,
    );
    expect(failed.code).toBe(3);
    expect(failed.stdout).toMatch(/"fault":"expected at most \d+ units of work, got more"/);
  });
});

it('a log that declares more steps than its bytes are worth is refused when it is opened', () => {
  const block = { type: 'L', payload: concat(leb128(1), leb128(900_000), leb128(1), new Uint8Array(8)) };
  const lie = joinSections([{ type: 'H', payload: headerPayload(header('4-2', [0])) }, block, end(900_000)]);
  expect(() => openArtifact(lie)).toThrow(
    /^header at byte 5: expected at most \d+ units of work in a file of/,
  );
});

describe('a log that takes much work for its bytes', () => {
  it('is written in shorter blocks, and then worth it', () => {
    const dense = openArtifact(encodeSeedLog(header('64-64', [1]), alike(12_000, 4096), outcome(12_000)));
    expect(dense.sections.length).toBeGreaterThan(8); // with 2048 steps a block
    let steps = 0;
    for (const { step } of (dense as SeedLog).replaySteps()) steps = step;
    expect(steps).toBe(12_000);
  });

  it('is not begun where that would not do', () => {
    const wide = header('16384-256', [4]);
    expect(() => requireRebuildable(wide, 1000, 2 ** 20)).toThrow(ConfigError);
    expect(() => requireRebuildable(wide, 1000, 2 ** 20)).toThrow('"nonzeros" expected a log of 1000 steps');
    expect(() => requireRebuildable(wide, 10, 2 ** 16)).not.toThrow();
    expect(() => requireRebuildable(wide, 10_000_000, 64)).not.toThrow();
  });

  it('as paper trains it is far from what it may take', () => {
    const coefficients = Int8Array.from({ length: 128 }, (_, k) => (k % 2 === 0 ? 0 : k % 4 === 1 ? 1 : -1));
    const steps = Array.from({ length: 20 }, (_, i) => ({
      seedStep: i + 1,
      nonzeros: 16,
      loss: 99,
      coefficients,
    }));
    const bytes = encodeSeedLog(header('784-256-256-10', [128]), steps, outcome(20));
    expect(20 * (128 + 128 * 16 + 64 * 16)).toBeLessThan(workMax(bytes.length) / 100);
  });
});

describe('rebuilding', () => {
  let long: SeedLog;
  beforeAll(() => {
    const steps = alike(20_000, 2);
    long = openArtifact(encodeSeedLog(header('8-8', [1]), steps, outcome(20_000))) as SeedLog;
  });

  it.each([
    ['all weights', (watch: object) => rebuild(long, reference, long.steps, undefined, watch)],
    ['a tensor', (watch: object) => rebuildPart(long, 'layer0.weight', null, long.steps, undefined, watch)],
  ])('%s can be given up, and says how far it is', async (_, work) => {
    const aborted = new AbortController();
    const told: [number, number][] = [];
    const onProgress = (done: number, total: number) => {
      told.push([done, total]);
      aborted.abort(new Error('enough'));
    };
    await expect(work({ signal: aborted.signal, onProgress })).rejects.toThrow('enough');
    expect(told).toHaveLength(1);
    expect(told[0][1]).toBe(20_000);
    expect(told[0][0]).toBeLessThan(20_000);
    await expect(work({ signal: aborted.signal })).rejects.toThrow('enough');
  });

  it('lets others have their turn, and gives the same', async () => {
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 0);
    let clock = 0;
    const now = vi.spyOn(performance, 'now').mockImplementation(() => (clock += 1));
    const part = await rebuildPart(long, 'layer0.weight', { from: 2, to: 5 });
    now.mockRestore();
    clearInterval(timer);
    expect(turns).toBeGreaterThan(0);
    expect(part).toEqual(rebuildTensor(long, 'layer0.weight').slice(16, 40));
  });
});
