/** Checks that this Node and a newer one, with another V8 and other wasm instructions, train to the same bytes. */

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cli, onlyObject } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyOptions } from './support/tiny-runs.js';

const PACKAGE = fileURLToPath(new URL('newer-node/package.json', import.meta.url));

/** The newer Node's binary. */
function newerNode(): string {
  const install = `install it with: npm ci --prefix ${dirname(PACKAGE)}`;
  let manifest: string;
  try {
    manifest = createRequire(PACKAGE).resolve('node/package.json');
  } catch (cause) {
    throw new Error(`expected a newer Node from the npm package "node", got none: ${install}`, { cause });
  }
  const { bin } = JSON.parse(readFileSync(manifest, 'utf8')) as { bin: { node: string } };
  const binary = join(dirname(manifest), bin.node);
  if (!existsSync(binary)) throw new Error(`expected the newer Node at ${binary}, got none: ${install}`);
  return binary;
}

let root: string;
let newer: string;
beforeAll(async () => {
  newer = newerNode();
  root = await mkdtemp(join(tmpdir(), 'ternseed-node-'));
  await writeTinyData(join(root, 'tiny'));
});
afterAll(() => root && rm(root, { recursive: true }));

it('the newer Node runs, and is one that has relaxed SIMD without a flag', () => {
  const version = execFileSync(newer, ['--version'], { encoding: 'utf8' });
  expect(Number(/^v?(\d+)\./.exec(version)?.[1])).toBeGreaterThanOrEqual(22);
});

describe.each([
  ['log', 'weights'],
  ['log', 'nodes'],
  ['pool', 'weights'],
  ['pool', 'nodes'],
  ['packed', 'nodes'],
])('a %s of %s', (artifact, perturb) => {
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
