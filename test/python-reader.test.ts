/** Checks that the independent reader, docs/reader.py, reads every test vector to the weights that it says, and no damaged one. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import type { Vector } from './vectors.test.js';
import { reference } from './support/backends.js';
import { because, pythonFault } from './support/missing.js';
import { headerPayload, joinSections, splitSections } from './support/sections.js';

const reader = fileURLToPath(new URL('../docs/reader.py', import.meta.url));
const folder = fileURLToPath(new URL('vectors', import.meta.url));
const vectors = ['v1', 'v2'].flatMap((version) =>
  (JSON.parse(readFileSync(`${folder}/${version}/vectors.json`, 'utf8')) as Vector[]).map((vector) => ({
    ...vector,
    path: `${folder}/${version}/${vector.file}`,
  })),
);

let temporary: string;
beforeAll(() => {
  temporary = mkdtempSync(join(tmpdir(), 'ternseed-python-'));
});
afterAll(() => rmSync(temporary, { recursive: true }));

describe.skipIf(pythonFault !== null)(`reader.py${because(pythonFault)}`, () => {
  it('rebuilds every vector to its weights', async () => {
    const paths = vectors.map(({ path }) => path);
    const output = execFileSync('python3', [reader, '--weights', ...paths], {
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    });
    const lines = output.trim().split('\n');
    expect(lines).toHaveLength(vectors.length);
    const byFile = new Map<string, Int8Array>();
    for (const [
      i,
      { path, version, kind, model, steps, weightsHash, weights, coefficients, base },
    ] of vectors.entries()) {
      const read = JSON.parse(lines[i] as string) as Record<string, unknown>;
      expect(read).toMatchObject({ file: path, version, kind, model, steps, weightsHash });
      if (coefficients) expect(read.coefficients).toEqual(coefficients);
      const under = base === undefined ? undefined : byFile.get(base);
      const here = await rebuildVerified(openArtifact(readFileSync(path)), reference, under);
      if (version === 2) byFile.set(path.split('/').at(-1) as string, here);
      expect(read.weights).toEqual(weights ?? [...here]);
    }
  });

  it('scales raw values to the inputs that the vector lists', () => {
    const { path, scaled = [] } = vectors.find((vector) => vector.scaled) as (typeof vectors)[number];
    const raw = `--inputs=${scaled.map(([value]) => value).join()}`;
    const output = execFileSync('python3', [reader, raw, path], { encoding: 'utf8' });
    expect(JSON.parse(output)).toMatchObject({ inputs: scaled.map(([, input]) => input) });
  });

  it('refuses files with a flipped bit or cut short, as this reader does', () => {
    const paths = vectors.flatMap(({ path, file, version }) => {
      const bytes = readFileSync(path);
      return [0.1, 0.4, 0.7, 0.95].flatMap((share, i) => {
        const at = Math.floor(share * bytes.length);
        const flipped = bytes.map((byte, j) => (j === at ? byte ^ (1 << i) : byte));
        return [flipped, bytes.subarray(0, at)].map((damaged, j) => {
          const target = join(temporary, `v${version}-${i}-${j}-${file}`);
          writeFileSync(target, damaged);
          return target;
        });
      });
    });
    const { status, stdout, stderr } = spawnSync('python3', [reader, ...paths], { encoding: 'utf8' });
    expect(stderr).toBe('');
    expect(status).toBe(3);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(paths.length);
    for (const line of lines) expect(line).toContain('"fault":');
  });

  it('refuses another arithmetic by both numbers, as this reader does', () => {
    const [{ path }] = vectors.filter(({ version }) => version === 2);
    const [header, ...body] = splitSections(readFileSync(path));
    const json = openArtifact(readFileSync(path)).header;
    const target = join(temporary, 'arithmetic.tern');
    const bytes = joinSections([{ ...header, payload: headerPayload({ ...json, arithmetic: 2 }) }, ...body]);
    writeFileSync(target, bytes);
    const { status, stdout } = spawnSync('python3', [reader, target], { encoding: 'utf8' });
    expect(status).toBe(3);
    expect(stdout).toContain('expected arithmetic 1, got 2');
    expect(() => openArtifact(bytes)).toThrow('expected arithmetic 1, got 2');
  });
});

test('reader.py takes in nothing but the standard library', () => {
  const imported = readFileSync(reader, 'utf8').match(/^(?:import|from) \S+/gm);
  expect(imported).toEqual(['hashlib', 'json', 'math', 're', 'sys', 'zlib'].map((name) => `import ${name}`));
});
