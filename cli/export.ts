/** `ternseed export FILE --to packed`: the same network in another form. */

import { encodePacked, openArtifact } from '../src/artifact/artifact.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { expected } from '../src/errors.js';
import { readBytes } from './files.js';
import { count, printResult, table } from './output.js';
import { writeAlone } from './write-lock.js';

export interface ExportOptions {
  readonly to: string;
  readonly out: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

export async function exportArtifact(file: string, options: ExportOptions): Promise<void> {
  if (options.to !== 'packed') throw expected('--to', 'packed', options.to);
  const artifact = openArtifact(await readBytes(file));
  const backend = await openBackend(options.backend, options.threads);
  try {
    const { header, steps, weightsHash, network } = artifact;
    const bytes = encodePacked(header, await rebuildVerified(artifact, backend), { steps, weightsHash });
    writeAlone(options.out, bytes);
    const bits = ((8 * bytes.length) / network.parameters).toFixed(3);
    printResult(options.json, { bytes: bytes.length, path: options.out, weightsHash }, [
      `${options.out}: packed, ${count(bytes.length)} bytes (${bits} bits a weight)`,
      ...table([['weights hash', weightsHash]]),
    ]);
  } finally {
    await backend.close();
  }
}
