// The same model here and in llama.cpp, exported as GGUF with ternary blocks: whether both hold the same byte for the
// likeliest, and how fast each writes text at batch 1.

import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { peer, root, ternseed } from '../report.mjs';

/** Rows of every ternary matrix are multiples of 256, as TQ2_0 wants them. */
const MODEL = [
  ...[
    '--method',
    'ste',
    '--blocks',
    '4',
    '--loop-to',
    '4',
    '--width',
    '256',
    '--heads',
    '4',
    '--key-heads',
    '4',
  ],
  ...['--hidden', '768', '--context', '128', '--batch', '8', '--steps', '400'],
];
const POSITIONS = 2_000;
/** Bytes that are written, and how often; the fastest counts, on both sides. */
const BYTES = 120;
const ROUNDS = 5;

/**
 * @param source - the text's file
 * @param validation - its last tenth
 * @param folder - for the model and its export
 */
export async function againstLlama(source, validation, folder) {
  const [file, gguf] = [join(folder, 'wide.tern'), join(folder, 'wide.gguf')];
  const trained = ternseed('train', 'text', '--text', source, '--out', file, ...MODEL);
  ternseed('export', file, '--to', 'gguf', '--out', gguf);
  const { artifact: model, mine, bytesPerSecond, context } = await ours(file, validation);
  const windows = Array.from({ length: Math.ceil(POSITIONS / context) }, (_, i) =>
    Array.from(validation.subarray(i * context, (i + 1) * context)),
  );
  const ask = (request) =>
    JSON.parse(
      execFileSync(process.execPath, ['run.mjs', JSON.stringify({ model: gguf, ...request })], {
        cwd: peer('llama'),
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
        stdio: ['ignore', 'pipe', 'ignore'],
      })
        .trim()
        .split('\n')
        .at(-1),
    );
  const theirs = ask({ windows, threads: 2 }).predictions.flat().slice(0, POSITIONS);
  const same = theirs.filter((token, i) => token === mine[i]).length;
  const speeds = [1, 2].map((threads) => ({ threads, ...ask({ threads, bytes: BYTES }) }));
  return {
    model,
    parameters: trained.parameters,
    bitsPerByte: trained.bitsPerByte,
    positions: POSITIONS,
    sameByte: same / POSITIONS,
    bytes: { artifact: trained.bytes, gguf: statSync(gguf).size },
    bytesPerSecond,
    llama: speeds.map(({ threads, name, bytesPerSecond: speed }) => ({
      threads,
      name,
      bytesPerSecond: speed,
    })),
  };
}

/** Our likeliest byte at every position, and bytes a second on one thread. */
async function ours(file, validation) {
  const dist = (path) => import(join(root, 'dist/src', path));
  const [{ openArtifact }, { rebuildVerified }, { openWasm }, { batchOfWindows }] = await Promise.all([
    dist('artifact/artifact.js'),
    dist('artifact/rebuild.js'),
    dist('backend/wasm/wasm.js'),
    dist('backend/batch.js'),
  ]);
  const artifact = openArtifact(readFileSync(file));
  const backend = await openWasm({ threads: 1 });
  const { network: model } = artifact;
  const windows = Math.ceil(POSITIONS / model.context);
  const placed = await backend.place(model, { batch: windows });
  await placed.writeWeights(await rebuildVerified(artifact, backend));
  const length = model.context;
  const loaded = new Uint8Array(windows * (length + 1));
  for (let i = 0; i < windows; i++)
    loaded.set(validation.subarray(i * length, (i + 1) * length + 1), i * (length + 1));
  placed.load(batchOfWindows(loaded, length));
  const { predictions } = await placed.evaluate();
  const rates = [];
  for (let round = 0; round < ROUNDS; round++) {
    placed.restart();
    let byte = 10;
    const begun = performance.now();
    for (let i = 0; i < BYTES; i++) {
      const logits = await placed.next(byte);
      byte = 0;
      for (let c = 1; c < logits.length; c++) if (logits[c] > logits[byte]) byte = c;
    }
    rates.push(BYTES / ((performance.now() - begun) / 1000));
  }
  await backend.close();
  const { blocks, width } = model;
  return {
    artifact: `${blocks} × ${width}`,
    mine: Array.from(predictions),
    bytesPerSecond: Math.max(...rates),
    context: length,
  };
}
