/** `ternseed export FILE --to …`: the same network, or the same history, in another form. */

import { type Artifact, encodePacked, openArtifact, perceptronArtifact } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import type { Backend } from '../src/backend/backend.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { ConfigError, expected } from '../src/errors.js';
import { exportJson } from '../src/exchange/export-json.js';
import {
  exportSafetensors,
  SAFETENSORS_FORMS,
  type SafetensorsForm,
} from '../src/exchange/export-safetensors.js';
import { readPathOrUrl } from './files.js';
import { count, printResult, table } from './output.js';
import { PRODUCER } from './version.js';
import { writePartsAlone } from './write-lock.js';

/** What `--to` takes. */
export const EXPORT_FORMS = ['packed', 'safetensors', 'json'] as const;
type ExportForm = (typeof EXPORT_FORMS)[number];

export interface ExportOptions {
  readonly to: string;
  readonly out: string;
  readonly dtype?: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function exportArtifact(file: string, options: ExportOptions): Promise<void> {
  const { to, dtype = 'u8' } = options;
  if (!EXPORT_FORMS.includes(to as ExportForm)) throw expected('--to', EXPORT_FORMS.join(', '), to);
  if (!SAFETENSORS_FORMS.includes(dtype as SafetensorsForm)) {
    throw expected('--dtype', SAFETENSORS_FORMS.join(' or '), dtype);
  }
  if (options.dtype !== undefined && to !== 'safetensors') {
    throw new ConfigError('"--dtype" is for "--to safetensors": leave it away');
  }
  const artifact = openArtifact(await readPathOrUrl(file));
  const backend = await openBackend(options.backend, options.threads);
  try {
    const parts = await contents(artifact, to as ExportForm, dtype as SafetensorsForm, backend);
    const bytes = writePartsAlone(options.out, parts);
    const { weightsHash, network } = artifact;
    const bits = ((8 * bytes) / network.parameters).toFixed(3);
    const what = to === 'safetensors' ? `${to} ${dtype}` : to;
    printResult(options.json, { bytes, path: options.out, weightsHash }, [
      `${options.out}: ${what}, ${count(bytes)} bytes (${bits} bits a weight)`,
      ...table([['weights hash', weightsHash]]),
    ]);
  } finally {
    await backend.close();
  }
}

/** The file's bytes, one part after another. Weights leave only when they are those that were trained. */
async function contents(
  artifact: Artifact,
  to: ExportForm,
  form: SafetensorsForm,
  backend: Backend,
): Promise<Iterable<Uint8Array>> {
  const weights = await rebuildVerified(artifact, backend);
  switch (to) {
    case 'packed':
      return [encodePacked(artifact.header, weights, artifact)];
    case 'safetensors':
      return [exportSafetensors(perceptronArtifact(artifact), weights, { form, producer: PRODUCER })];
    case 'json':
      return encoded(exportJson(artifact, PRODUCER));
    default:
      return to satisfies never;
  }
}

function* encoded(texts: Iterable<string>): Generator<Uint8Array> {
  const encoder = new TextEncoder();
  for (const text of texts) yield encoder.encode(text);
}
