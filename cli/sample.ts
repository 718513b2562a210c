/** `ternseed sample FILE`: text from a model of texts, as it comes. The same seed gives the same text on every backend. */

import { openArtifact } from '../src/artifact/artifact.js';
import { type BackendChoice, openBackend } from '../src/backend/open.js';
import { sample, TEMPERATURE_MAX } from '../src/backend/sample.js';
import { ArtifactError, escapeControls, expected } from '../src/errors.js';
import { keyOf } from '../src/random/key.js';
import { VOCABULARY } from '../src/ternary/units.js';
import { type BaseOptions, rebuildOnBase } from './bases.js';
import { parseInteger, parseNumber } from './config-options.js';
import { readPathOrUrl, requireOneStdin } from './files.js';

export interface SampleCommandOptions extends BaseOptions {
  readonly prompt: string;
  readonly length: string;
  readonly temperature: string;
  readonly topK: string;
  readonly seed: string;
  readonly backend: BackendChoice;
  readonly threads?: number;
  readonly json: boolean;
}

const LENGTH_MAX = 1_000_000;

export async function sampleText(file: string, options: SampleCommandOptions): Promise<void> {
  const length = parseInteger('--length', options.length, 1, LENGTH_MAX);
  const topK = parseInteger('--top-k', options.topK, 1, VOCABULARY);
  const temperature = parseNumber('--temperature', options.temperature);
  if (temperature < 0 || temperature > TEMPERATURE_MAX) {
    throw expected('--temperature', `a number in 0…${TEMPERATURE_MAX}`, options.temperature);
  }
  if (options.prompt === '') throw expected('--prompt', 'at least one character', 'none');
  requireOneStdin([file, ...(options.base ?? [])]);
  const artifact = openArtifact(await readPathOrUrl(file));
  const { rows, name } = artifact.network;
  if (rows !== 'positions') {
    throw new ArtifactError(`header at byte 5: expected a model of texts, got ${name}, one of examples`);
  }
  const backend = await openBackend(options.backend, options.threads);
  try {
    const placed = await backend.place(artifact.network, { batch: 1 });
    await placed.writeWeights(await rebuildOnBase(artifact, file, options, backend));
    const bytes = sample(placed, {
      prompt: new TextEncoder().encode(options.prompt),
      ...{ length, temperature, topK, key: keyOf(options.seed) },
    });
    const decoder = new TextDecoder();
    const write = (text: string) => {
      if (!options.json) process.stdout.write(escapeControls(text, '\n\t'));
      return text;
    };
    let text = '';
    const started = performance.now();
    write(options.prompt);
    for await (const byte of bytes) text += write(decoder.decode(Uint8Array.of(byte), { stream: true }));
    text += write(decoder.decode());
    const tokensPerSecond = (length * 1000) / (performance.now() - started);
    const { weightsHash } = artifact;
    const result = {
      text,
      prompt: options.prompt,
      seed: options.seed,
      tokensPerSecond,
      backend: backend.name,
      weightsHash,
    };
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : '\n');
    if (!options.json) process.stderr.write(`${tokensPerSecond.toFixed(0)} bytes/s (${backend.summary})\n`);
  } finally {
    await backend.close();
  }
}
