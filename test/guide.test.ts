/** The programs of docs/guide.md run as they stand there, in an empty project that has the package and a model. */

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodePacked } from '../src/artifact/artifact.js';
import { headerOf } from '../src/artifact/header.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const run = promisify(execFile);

let project: string;
const programs: string[] = [];
beforeAll(async () => {
  const page = await readFile(join(ROOT, 'docs/guide.md'), 'utf8');
  programs.push(...Array.from(page.matchAll(/^```js\n([\s\S]*?)^```/gm), ([, code]) => code));
  project = await mkdtemp(join(tmpdir(), 'ternseed-guide-'));
  await mkdir(join(project, 'node_modules'));
  await symlink(ROOT, join(project, 'node_modules/ternseed'), 'junction');
  const network = networkOf([784, 12, 10], { centred: true, gain: 25, logitScale: 900 });
  const values = Int8Array.from({ length: network.parameters }, (_, i) => ((i * i) % 3) - 1);
  const header = headerOf(network, {
    ...{ kind: 'packed' as const, key: '0'.repeat(16), cut: 0, directions: [], config: {} },
    data: { name: 'none', hash: '' },
  });
  const outcome = { steps: 0, weightsHash: await weightsHash(values, network.tensors) };
  await writeFile(join(project, 'digits.tern'), encodePacked(header, values, outcome));
});
afterAll(() => rm(project, { recursive: true }));

it('has programs that run', async () => {
  expect(programs.length).toBeGreaterThanOrEqual(2);
  for (const [i, code] of programs.entries()) {
    const file = join(project, `program${i}.mjs`);
    await writeFile(file, code);
    const { stdout } = await run(process.execPath, [file], { cwd: project });
    expect(stdout.trim()).not.toBe('');
  }
});

it('learns what it says it learns', async () => {
  const { stdout } = await run(process.execPath, [join(project, 'program1.mjs')], { cwd: project });
  expect(stdout.trim().split('\n').at(-1)).toBe('1');
});
