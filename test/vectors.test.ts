/** Checks the test vectors of the format: what this code writes, and what version 1 wrote, mean what they say. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import { inputsOf, scaleInputs } from '../src/artifact/inputs.js';
import { readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { rebuildTensor, rebuildVerified } from '../src/artifact/rebuild.js';
import type { Backend } from '../src/backend/backend.js';
import { openWasm } from '../src/backend/wasm/wasm.js';
import { reference } from './support/backends.js';
import { keptSteps } from './support/log-steps.js';

/** What `scripts/make-vectors.mjs` says of a file. */
export interface Vector {
  readonly file: string;
  readonly version: number;
  readonly kind: 'log' | 'pool' | 'packed';
  readonly model: string | object;
  /** Of a perceptron. */
  readonly precision?: readonly string[];
  readonly steps: number;
  readonly weightsHash: string;
  /** Of a delta: the file of its base. */
  readonly base?: string;
  readonly coefficients?: readonly number[];
  readonly weights?: readonly number[];
  /** Raw values, each with the input that it is. */
  readonly scaled?: readonly (readonly [raw: number, input: number])[];
}

const folder = fileURLToPath(new URL('vectors', import.meta.url));
const read = (path: string) => new Uint8Array(readFileSync(`${folder}/${path}`));
const vectors = ['v1', 'v2'].flatMap((version) =>
  (JSON.parse(readFileSync(`${folder}/${version}/vectors.json`, 'utf8')) as Vector[]).map((vector) => ({
    ...vector,
    path: `${version}/${vector.file}`,
  })),
);

/** The weights of a file of version 2, on its own base. */
async function weightsOf(file: string | undefined): Promise<Int8Array | undefined> {
  if (file === undefined) return undefined;
  const { base } = vectors.find((vector) => vector.path === `v2/${file}`) as Vector;
  return rebuildVerified(openArtifact(read(`v2/${file}`)), reference, await weightsOf(base));
}

let wasm: Backend;
beforeAll(async () => {
  wasm = await openWasm({ threads: 1 });
});
afterAll(() => wasm.close());

describe.each(vectors)('$path', ({ path, weights, coefficients, ...said }) => {
  it('opens as what it says', () => {
    const artifact = openArtifact(read(path));
    const { version, kind, steps, weightsHash, model, precision } = said;
    expect(artifact).toMatchObject({ version, kind, steps, weightsHash });
    expect(artifact).toMatchObject({ header: { model }, network: precision ? { precision } : {} });
    if (coefficients) expect(artifact).toMatchObject({ coefficients: Int16Array.from(coefficients) });
  });

  it('rebuilds to the weights it says, on both backends and by tensor', async () => {
    const artifact = openArtifact(read(path));
    const base = await weightsOf(said.base);
    const rebuilt = await rebuildVerified(artifact, reference, base);
    expect(await rebuildVerified(artifact, wasm, base)).toEqual(rebuilt);
    if (weights) expect([...rebuilt]).toEqual(weights);
    for (const { name, offset, rows, columns } of artifact.network.tensors) {
      expect(rebuildTensor(artifact, name, artifact.steps, base)).toEqual(
        rebuilt.slice(offset, offset + rows * columns),
      );
    }
  });
});

test('raw values become the inputs that the vector lists', () => {
  const { path, scaled = [] } = vectors.find((vector) => vector.scaled) as (typeof vectors)[number];
  const { header } = perceptronArtifact(openArtifact(read(path)));
  const raw = scaled.map(([value]) => value);
  expect([...scaleInputs(raw, inputsOf(header))]).toEqual(scaled.map(([, input]) => input));
  // By hand: 127 − ⌊(0 + 1.5) / 3.75 · 128⌋ = 127 − 51.
  expect(scaleInputs([0], inputsOf(header))).toEqual(Uint8Array.of(76));
});

test('an unfinished log of version 1 has the steps that one of version 2 has', () => {
  const [old, current] = ['v1', 'v2'].map((version) =>
    readUnfinishedLog(read(`${version}/unfinished-log.tern`)),
  );
  expect([old.version, current.version]).toEqual([1, 2]);
  const said = (log: typeof old) => keptSteps(log).map((step) => ({ ...step, bytes: 0 }));
  expect(said(old)).toEqual(said(current));
  expect(old.steps).toBe(20);
});

test('the writer still makes the vectors of its version, byte for byte', () => {
  const made = mkdtempSync(join(tmpdir(), 'ternseed-vectors-'));
  try {
    const root = fileURLToPath(new URL('../', import.meta.url));
    execFileSync(process.execPath, ['scripts/make-vectors.mjs', 'dist', made], { cwd: root });
    const names = readdirSync(made).sort();
    expect(names).toEqual(readdirSync(`${folder}/v2`).sort());
    for (const name of names) {
      expect(readFileSync(join(made, name)).equals(readFileSync(`${folder}/v2/${name}`)), name).toBe(true);
    }
  } finally {
    rmSync(made, { recursive: true });
  }
});

test('both versions have every kind and precision, and all files are listed', () => {
  for (const version of [1, 2]) {
    const listed = vectors.filter((vector) => vector.version === version);
    expect(new Set(listed.map(({ kind }) => kind))).toEqual(new Set(['log', 'pool', 'packed']));
    const precisions = new Set(listed.flatMap(({ precision = [] }) => precision));
    expect(precisions.size).toBe(6);
    const files = readdirSync(`${folder}/v${version}`).filter((name) => name.endsWith('.tern'));
    expect(new Set(files)).toEqual(new Set([...listed.map(({ file }) => file), 'unfinished-log.tern']));
  }
});
