/** Seed logs as history: reading, editing and joining them, any step by an index, and the forms of an artifact. */

import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rebuildByIndex } from '../cli/logs.js';
import { encodePacked, encodeSeedLog, openArtifact, type SeedLog } from '../src/artifact/artifact.js';
import { openingOfLog } from '../src/artifact/checkpoint.js';
import { formsOf, smallestOf } from '../src/artifact/compact.js';
import { concatLogs, editLog } from '../src/artifact/edit.js';
import { decodeLogIndex, encodeLogIndex, indexLog, rebuildIndexed } from '../src/artifact/log-index.js';
import { rebuild, rebuildVerified } from '../src/artifact/rebuild.js';
import { encodeLogBlock } from '../src/artifact/seed-log.js';
import { reference } from './support/backends.js';
import { cli, onlyObject } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyOptions, tinyRun, type TrainedRun } from './support/tiny-runs.js';

let run: TrainedRun;
let log: SeedLog;
beforeAll(async () => {
  run = await tinyRun({ artifact: 'log', perturb: 'weights' }, reference);
  log = openArtifact(run.bytes) as SeedLog;
});

const opened = async (bytes: Promise<Uint8Array>) => openArtifact(await bytes) as SeedLog;
const seedSteps = (edited: SeedLog) => Array.from(edited.replaySteps(), ({ seedStep }) => seedStep);

describe('an edited log', () => {
  it('without its last steps has the weights from before them', async () => {
    const cut = await opened(editLog(log, [{ edit: 'drop', from: 9, to: 12 }], reference));
    expect(cut.steps).toBe(8);
    expect(await rebuildVerified(cut, reference)).toEqual(run.history[8]);
  });

  it('keeps each step’s directions, wherever it comes to stand', async () => {
    const edits = [
      { edit: 'repeat', from: 8, to: 9, times: 3 },
      { edit: 'drop', from: 2, to: 4 },
    ] as const;
    const edited = await opened(editLog(log, edits, reference));
    expect(seedSteps(edited)).toEqual([1, 5, 6, 7, 8, 9, 8, 9, 8, 9, 10, 11, 12]);
    expect(edited.header.config.history).toEqual([{ of: run.hash, edits: [edits[1], edits[0]] }]);
    await rebuildVerified(edited, reference);
  });

  it('whose last step is joined again, turned round, has the weights from before it where nothing was clamped', async () => {
    const back = await opened(editLog(log, [{ edit: 'negate', from: 12, to: 12 }], reference));
    const steps = [...Array.from(log.replaySteps()), ...Array.from(back.replaySteps(12))];
    expect(steps).toHaveLength(13);
    const [before, after] = [run.history[11], await rebuildVerified(back, reference)];
    expect(after).not.toEqual(run.history[12]);
    // Where the last step moved nothing, it does not matter which way it went.
    before.forEach((weight, i) => {
      if (after[i] === run.history[12][i]) expect(weight).toBe(after[i]);
    });
  });

  it('refuses ranges outside, or that overlap', async () => {
    const edit = (...ranges: [number, number][]) =>
      editLog(
        log,
        ranges.map(([from, to]) => ({ edit: 'drop', from, to })),
        reference,
      );
    await expect(edit([0, 3])).rejects.toThrow('"drop" expected steps within 1…12, got "0-3"');
    await expect(edit([3, 13])).rejects.toThrow('within 1…12');
    await expect(edit([2, 5], [5, 6])).rejects.toThrow('do not overlap, got 2-5 and 5-6');
  });

  it('of two parts that are joined is the whole', async () => {
    const [head, tail] = [
      await opened(editLog(log, [{ edit: 'drop', from: 6, to: 12 }], reference)),
      await opened(editLog(log, [{ edit: 'drop', from: 1, to: 5 }], reference)),
    ];
    const joined = await opened(concatLogs([head, tail], reference));
    expect(joined.weightsHash).toBe(run.hash);
    const other = await tinyRun({ artifact: 'log', perturb: 'weights', seed: 'another' }, reference);
    const stranger = openArtifact(other.bytes) as SeedLog;
    await expect(concatLogs([log, stranger], reference)).rejects.toThrow('logs of one model, seed');
  });
});

describe('a side index', () => {
  let long: SeedLog;
  beforeAll(async () => {
    // Blocks of twelve steps: every repetition goes back to the seed's first.
    long = await opened(editLog(log, [{ edit: 'repeat', from: 1, to: 12, times: 80 }], reference));
  });

  it('gives the weights after any step, from the block before it', async () => {
    const checkpoints = await indexLog(long);
    expect(checkpoints.length).toBeGreaterThan(20);
    expect(checkpoints.length).toBeLessThanOrEqual(32);
    const read = await decodeLogIndex(long, await encodeLogIndex(long, checkpoints));
    expect(read).toEqual(checkpoints);
    for (const step of [0, 1, 35, 36, 37, 500, 959, 960]) {
      expect(await rebuildIndexed(long, read, step)).toEqual(await rebuild(long, reference, step));
    }
  });

  it('is not taken when it is another log’s, or damaged', async () => {
    const bytes = await encodeLogIndex(long, await indexLog(long));
    await expect(decodeLogIndex(log, bytes)).rejects.toThrow('expected the index of this log');
    const damaged = bytes.slice();
    damaged[bytes.length >> 1] ^= 4;
    await expect(decodeLogIndex(long, damaged)).rejects.toThrow(/at byte \d+/);
  });

  it('is kept beside a file, not a URL', async () => {
    const distant = rebuildByIndex(long, 'https://example.org/long.tern', 1, undefined);
    await expect(distant).rejects.toThrow('expected a path, got the URL');
  });

  it('is not taken by a log of other steps that ends at the same weights', async () => {
    const negated = await opened(editLog(long, [{ edit: 'negate', from: 1, to: 12 }], reference));
    const sameEnd = { ...negated, weightsHash: long.weightsHash };
    const bytes = await encodeLogIndex(long, await indexLog(long));
    await expect(decodeLogIndex(sameEnd, bytes)).rejects.toThrow('expected the index of this log');
  });
});

describe('the forms of an artifact', () => {
  it.each([{ artifact: 'log', perturb: 'weights' }, { artifact: 'pool' }, { artifact: 'packed' }] as const)(
    'of %o rebuild to the same weights',
    async (kind) => {
      const { bytes, history, hash } = await tinyRun(kind, reference);
      const forms = formsOf(openArtifact(bytes), bytes, history.at(-1) as Int8Array);
      expect(new Set(forms.map((form) => form.kind))).toEqual(new Set(['log', 'pool', 'packed']));
      for (const form of forms) {
        if (form.bytes === null) expect(form.kind).toBe('log');
        else expect((await rebuildVerified(openArtifact(form.bytes), reference)).length).toBeGreaterThan(0);
        if (form.bytes !== null) expect(openArtifact(form.bytes).weightsHash).toBe(hash);
      }
      const sizes = forms.flatMap((form) => form.bytes?.length ?? []);
      expect(smallestOf(forms).bytes.length).toBe(Math.min(...sizes));
    },
  );

  it('as a pool are small where few weights moved', () => {
    const still = encodeSeedLog(run.header, run.steps.slice(0, 1), { steps: 1, weightsHash: '0'.repeat(64) });
    const weights = run.history[1];
    const forms = formsOf(openArtifact(still), still, weights);
    const bytesOf = (kind: string) => forms.find((form) => form.kind === kind)?.bytes?.length as number;
    const packed = encodePacked(run.header, weights, { steps: 1, weightsHash: '0'.repeat(64) });
    expect(bytesOf('pool')).toBeLessThan(packed.length + 20);
    expect(bytesOf('packed')).toBe(packed.length);
  });
});

describe('the command line', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  const json = async (...args: string[]) => onlyObject((await cli([...args, '--json'])).stdout);
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ternseed-history-'));
    await writeFile(at('log.tern'), run.bytes);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('shows a log, finished or not, and says of others that they keep no history', async () => {
    const { steps } = await json('log', at('log.tern'), '--steps', '3-11', '--every', '4');
    expect(steps).toMatchObject([{ step: 3 }, { step: 7 }, { step: 11, kept: 8 }]);
    const blocks = run.steps.slice(0, 5).map((step, i) => encodeLogBlock(run.header, i + 1, [step]));
    await writeFile(
      at('log.partial'),
      Buffer.concat([openingOfLog(run.header), ...blocks, blocks[0].subarray(0, 9)]),
    );
    expect((await json('log', at('log.partial'))).steps).toHaveLength(5);
    await json('convert', at('log.tern'), '--to', 'packed', '--out', at('packed.tern'));
    const refused = await cli(['log', at('packed.tern')]);
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('expected a log, got a packed, which keeps no history');
  });

  it('edits, joins, compares steps, and does not retrain what was edited', async () => {
    await json('edit', at('log.tern'), '--drop', '7-12', '--out', at('half.tern'));
    await json('edit', at('log.tern'), '--repeat', '1-12x100', '--out', at('long.tern'));
    const joined = await json('concat', at('half.tern'), at('long.tern'), '--out', at('both.tern'));
    expect(joined.steps).toBe(1206);
    const shown = await cli(['log', at('half.tern')]);
    expect(shown.stdout).toContain(`edited: {"of":"${run.hash}"`);
    const plain = await json('diff', at('both.tern'), '--steps', '300-1100');
    expect(await json('diff', at('both.tern'), '--steps', '300-1100', '--index')).toEqual(plain);
    expect((await stat(at('both.tern.index'))).size).toBeGreaterThan(100);
    await writeFile(at('both.tern.index'), (await readFile(at('both.tern.index'))).subarray(0, 150));
    const again = await cli(['replay', at('both.tern'), '--step', '1100', '--index', '--json']);
    expect(again.stderr).toContain('is made again: ');
    const part = await cli(['replay', at('both.tern'), '--tensor', 'layer1.weight', '--index']);
    expect(part.stderr).toContain('"--index" is of all weights');
    const { weightsHash } = await json('replay', at('both.tern'), '--step', '1100');
    expect(onlyObject(again.stdout).weightsHash).toBe(weightsHash);
    await writeTinyData(at('tiny'));
    const checked = await cli(['verify', at('half.tern'), '--retrain', '2', '--data', at('tiny')]);
    expect(checked.code).toBe(2);
    expect(checked.stderr).toContain('got one that was edited since');
  });

  it('trains into the smallest form, and says what each would cost', async () => {
    const train = [
      'train',
      'idx',
      '--data',
      at('tiny'),
      ...tinyOptions,
      '--threads',
      '1',
      '--out',
      at('auto.tern'),
    ];
    await writeTinyData(at('tiny'));
    const trained = await json(...train, '--artifact', 'auto');
    const forms = trained.forms as { kind: string; bytes: number | null }[];
    const best = Math.min(...forms.flatMap(({ bytes }) => bytes ?? []));
    expect((await stat(at('auto.tern'))).size).toBe(best);
    expect(trained.bytes).toBe(best);
    expect((await json('verify', at('auto.tern'))).ok).toBe(true);
  });
});
