/** Checks that this Node and a newer one, with another V8 and other wasm instructions, train to the same bytes. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, onlyObject } from '../support/cli.js';
import { because, newerNode, newerNodeFault } from '../support/missing.js';
import { writeTinyData } from '../support/tiny-data.js';
import { tinyOptions } from '../support/tiny-runs.js';

const newer = newerNode as string;
let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-node-'));
  await writeTinyData(join(root, 'tiny'));
});
afterAll(() => root && rm(root, { recursive: true }));

it.skipIf(newerNodeFault !== null)(
  `the newer Node runs, and is one that has relaxed SIMD without a flag${because(newerNodeFault)}`,
  () => {
    const version = execFileSync(newer, ['--version'], { encoding: 'utf8' });
    expect(Number(/^v?(\d+)\./.exec(version)?.[1])).toBeGreaterThanOrEqual(22);
  },
);

describe.skipIf(newerNodeFault !== null).each([
  ['log', 'weights'],
  ['log', 'nodes'],
  ['pool', 'weights'],
  ['pool', 'nodes'],
  ['packed', 'nodes'],
])(`a %s of %s${because(newerNodeFault)}`, (artifact, perturb) => {
  const data = () => join(root, 'tiny');
  const train = (out: string) => [
    ...['train', 'idx', '--data', data(), ...tinyOptions, '--steps', '30', '--batch', '96', '--threads', '2'],
    ...['--artifact', artifact, '--perturb', perturb, '--out', out, '--json'],
  ];

  it('is the same bytes from both, and each evaluates the other’s alike', async () => {
    const [mine, theirs] = [
      join(root, `${artifact}-${perturb}.tern`),
      join(root, `${artifact}-${perturb}-newer.tern`),
    ];
    const trained = [await cli(train(mine)), await cli(train(theirs), {}, [newer])].map(
      ({ code, stdout, stderr }) => {
        expect(code, stderr).toBe(0);
        return onlyObject(stdout);
      },
    );
    expect(await readFile(theirs)).toEqual(await readFile(mine));
    for (const [file, node] of [
      [mine, newer],
      [theirs, process.execPath],
    ]) {
      const { code, stdout, stderr } = await cli(['eval', file, '--data', data(), '--json'], {}, [node]);
      expect(code, stderr).toBe(0);
      const { accuracy, weightsHash } = trained[0];
      expect(onlyObject(stdout)).toMatchObject({ accuracy, weightsHash });
    }
  });
});
