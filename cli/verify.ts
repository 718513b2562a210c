/**
 * `ternseed verify FILE`: every check that an artifact can pass by itself, and how it fares; with
 * `--retrain`, also whether the trainer makes it of its data.
 */

import { randomBytes } from 'node:crypto';
import { type Artifact, openArtifact } from '../src/artifact/artifact.js';
import { rebuild } from '../src/artifact/rebuild.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ArtifactError, ConfigError, printable } from '../src/errors.js';
import { type BaseOptions, baseOf } from './bases.js';
import { readPathOrUrl, requireOneStdin } from './files.js';
import { count, printResult, shown } from './output.js';
import { retrain, type Retrained, stepsToRetrain } from './retrain.js';

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface VerifyOptions extends BaseOptions {
  readonly retrain?: string;
  readonly retrainSeed?: string;
  readonly data?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function verify(file: string, options: VerifyOptions): Promise<void> {
  checkOptions(options);
  requireOneStdin([file, ...(options.base ?? [])]);
  const bytes = await readPathOrUrl(file);
  const backend = await openBackend(options.backend, options.threads);
  const checks: Check[] = [];
  let hash: string | null = null;
  let retrained: Retrained | null = null;
  try {
    const artifact = openArtifact(bytes);
    const wanted = options.retrain === undefined ? null : stepsToRetrain(options.retrain, artifact);
    const { sections, steps, kind } = artifact;
    checks.push({
      name: 'structure',
      ok: true,
      detail: `${kind}, ${sections.length} sections, ${count(steps)} steps`,
    });
    checks.push({ name: 'checksums', ok: true, detail: `${sections.length} of ${sections.length} sections` });
    const started = performance.now();
    const base = await baseOf(artifact, file, options, backend);
    const weights = await shown(`rebuilding ${printable(file)}`, 'steps', (watch) =>
      rebuild(artifact, backend, artifact.steps, base, watch),
    );
    hash = await weightsHash(weights, artifact.network.tensors);
    const seconds = ((performance.now() - started) / 1000).toFixed(3);
    const ok = hash === artifact.weightsHash;
    const detail = ok ? `${hash} in ${seconds} s` : `expected ${artifact.weightsHash}, got ${hash}`;
    checks.push({ name: 'weights', ok, detail });
    if (wanted !== null) {
      retrained = await retrainSome(artifact, wanted, base);
      checks.push({ name: 'retrain', ok: retrained.ok, detail: retrained.detail });
    }
  } catch (error) {
    if (!(error instanceof ArtifactError)) throw error;
    checks.push({ name: 'artifact', ok: false, detail: error.message });
  } finally {
    await backend.close();
  }
  const ok = checks.every((check) => check.ok);
  const chosen = retrained && { retrain: { steps: retrained.steps, seed: retrained.seed } };
  printResult(options.json, { ok, weightsHash: hash, checks, backend: backend.name, ...chosen }, [
    `${file}: ${ok ? 'ok' : 'NOT ok'} (${backend.summary})`,
    ...checks.map((check) => `  ${check.ok ? '✓' : '✗'} ${check.name.padEnd(9)}  ${check.detail}`),
    ...(retrained ? [`  the same steps again: --retrain-seed ${retrained.seed}`] : []),
  ]);
  if (!ok) throw new ArtifactError(`${file} did not pass: ${checks.find((check) => !check.ok)?.detail}`);

  async function retrainSome(artifact: Artifact, wanted: number, base?: Int8Array): Promise<Retrained> {
    // Drawn afresh unless the user says otherwise: a forger who knew the steps would leave them alone.
    const seed = options.retrainSeed ?? randomBytes(8).toString('hex');
    return retrain(artifact, wanted, seed, options.data as string, backend, file, base);
  }
}

function checkOptions({ retrain, retrainSeed, data }: VerifyOptions): void {
  if (retrain !== undefined && data === undefined) {
    throw new ConfigError('"--retrain" expected "--data", the data that the artifact was trained on');
  }
  for (const [name, value] of Object.entries({ '--data': data, '--retrain-seed': retrainSeed })) {
    if (value !== undefined && retrain === undefined) {
      throw new ConfigError(`"${name}" is for "--retrain": leave it out`);
    }
  }
}
