/** `ternseed verify FILE`: every check that an artifact can pass by itself, and how it fares. */

import { openArtifact } from '../src/artifact/artifact.js';
import { rebuild } from '../src/artifact/rebuild.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ArtifactError } from '../src/errors.js';
import { readBytes } from './files.js';
import { count, printResult } from './output.js';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface VerifyOptions {
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function verify(file: string, options: VerifyOptions): Promise<void> {
  const bytes = await readBytes(file);
  const backend = await openBackend(options.backend, options.threads);
  const checks: Check[] = [];
  let hash: string | null = null;
  try {
    const artifact = openArtifact(bytes);
    const { sections, steps, kind } = artifact;
    checks.push({
      name: 'structure',
      ok: true,
      detail: `${kind}, ${sections.length} sections, ${count(steps)} steps`,
    });
    checks.push({ name: 'checksums', ok: true, detail: `${sections.length} of ${sections.length} sections` });
    const started = performance.now();
    hash = await weightsHash(await rebuild(artifact, backend), artifact.network.tensors);
    const seconds = ((performance.now() - started) / 1000).toFixed(3);
    const ok = hash === artifact.weightsHash;
    const detail = ok ? `${hash} in ${seconds} s` : `expected ${artifact.weightsHash}, got ${hash}`;
    checks.push({ name: 'weights', ok, detail });
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    checks.push({ name: 'artifact', ok: false, detail: error.message });
  } finally {
    await backend.close();
  }
  const ok = checks.every((check) => check.ok);
  printResult(options.json, { ok, weightsHash: hash, checks, backend: backend.name }, [
    `${file}: ${ok ? 'ok' : 'NOT ok'} (${backend.summary})`,
    ...checks.map((check) => `  ${check.ok ? '✓' : '✗'} ${check.name.padEnd(9)}  ${check.detail}`),
  ]);
  if (!ok) throw new ArtifactError(`${file} did not pass: ${checks.find((check) => !check.ok)?.detail}`);
}
