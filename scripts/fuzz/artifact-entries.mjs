// Entry point: an artifact as bytes. It is opened, rebuilt by tensor, by rows and on the backends, and exported.

import { openArtifact } from '../../dist/src/artifact/artifact.js';
import { LogBlockWriter } from '../../dist/src/artifact/seed-log.js';
import { openingOfLog } from '../../dist/src/artifact/unfinished-log.js';
import { encodeSection } from '../../dist/src/artifact/container.js';
import { rebuildRows, rebuildTensor, rebuildVerified } from '../../dist/src/artifact/rebuild.js';
import { fromHex } from '../../dist/src/artifact/weights-hash.js';
import { ReferenceBackend } from '../../dist/src/backend/reference/reference.js';
import { openWasm } from '../../dist/src/backend/wasm/wasm.js';
import { exportJson } from '../../dist/src/exchange/export-json.js';
import { exportSafetensors } from '../../dist/src/exchange/export-safetensors.js';
import { importSafetensors } from '../../dist/src/exchange/import-safetensors.js';
import { concat, leb128, same } from './bytes.mjs';
import { artifactRefusal, Failure, hashOf, isSmall, read } from './checks.mjs';
import { mutateContainer } from './mutate.mjs';
import { artifacts, samples, weightsByHash } from './samples.mjs';

/** Of the files that rebuild, one in so many is rebuilt on each backend, too, or exported. */
const BACKEND_SHARE = 64;
const WASM_SHARE = 128;
const EXPORT_SHARE = 32;
/** Of the files whose weights are not those of their hash, one in so many is given the hash of what it has. */
const REHASH_SHARE = 4;

const reference = new ReferenceBackend();
const wasm = await openWasm({ threads: 1 });
const known = new Set(artifacts.map(({ bytes }) => openArtifact(bytes).weightsHash));

/** The weights that a delta begins with, if they are known. */
export const baseOf = ({ header }) => weightsByHash.get(header.base?.hash);

/** All weights, tensor after tensor, or null where a log does not hold what it says. */
function weightsOf(artifact, bytes) {
  const weights = new Int8Array(artifact.network.parameters);
  try {
    for (const { name, offset } of artifact.network.tensors) {
      weights.set(rebuildTensor(artifact, name, artifact.steps, baseOf(artifact)), offset);
    }
    return weights;
  } catch (error) {
    artifactRefusal(error, bytes);
    if (artifact.kind !== 'log' && !artifact.header.base)
      throw new Failure(`a ${artifact.kind} that opens does not rebuild: ${error.message}`);
    return null;
  }
}

/** The file with the hash of what it rebuilds to. */
function rehashed(bytes, artifact, weights) {
  const end = artifact.sections.at(-1);
  const steps = bytes.subarray(end.start, end.end - 32);
  const payload = concat(steps, fromHex(hashOf(weights, artifact.network.tensors)));
  return concat(bytes.subarray(0, end.offset), encodeSection(0x45, payload));
}

async function checkArtifact(choices, bytes) {
  const artifact = read(openArtifact, bytes, artifactRefusal);
  if (!artifact) return 'refused';
  if (artifact.kind === 'pool') checkCoefficients(artifact);
  if (!isSmall(artifact)) return 'opened, too large to rebuild here';
  const weights = weightsOf(artifact, bytes);
  if (!weights) return 'refused when rebuilt';
  const right = hashOf(weights, artifact.network.tensors) === artifact.weightsHash;
  if (right && !known.has(artifact.weightsHash)) throw new Failure('other weights with their own hash');
  checkRows(choices, artifact, weights);
  if (right || !choices.once(REHASH_SHARE)) {
    await checkBackends(choices, bytes, artifact, weights, right);
    return right ? 'accepted, its own weights' : 'refused by its hash';
  }
  const honest = rehashed(bytes, artifact, weights);
  await checkBackends(choices, honest, openArtifact(honest), weights, true);
  return 'accepted, other weights with a hash made for them';
}

/** docs/format.md: |c| ≤ 4·cut + 2. */
function checkCoefficients({ header, coefficients }) {
  const most = 4 * header.cut + 2;
  const stray = coefficients.find((coefficient) => Math.abs(coefficient) > most);
  if (stray !== undefined) throw new Failure(`a coefficient of ${stray} at cut ${header.cut}`);
}

function checkRows(choices, artifact, weights) {
  const { name, rows, columns, offset } = choices.of(artifact.network.tensors);
  const from = choices.to(rows);
  const to = from + 1 + choices.to(rows - from);
  const part = weights.slice(offset + from * columns, offset + to * columns);
  if (!same(part, rebuildRows(artifact, name, { from, to }, artifact.steps, baseOf(artifact)))) {
    throw new Failure(`rows ${from}…${to - 1} of ${name} are not those of the whole`);
  }
}

async function checkBackends(choices, bytes, artifact, weights, right) {
  for (const [backend, share] of [
    [reference, BACKEND_SHARE],
    [wasm, WASM_SHARE],
  ]) {
    if (!choices.once(share)) continue;
    const result = await rebuildVerified(artifact, backend, baseOf(artifact)).catch((error) => error);
    const equal = result instanceof Int8Array && same(result, weights);
    if (right && !equal) throw new Failure(`${backend.name} rebuilds to something else: ${result}`);
    if (right) continue;
    if (result instanceof Int8Array) throw new Failure(`${backend.name} verifies what has another hash`);
    artifactRefusal(result, bytes);
  }
  if (right && choices.once(EXPORT_SHARE)) await checkExports(choices, artifact, weights);
}

async function checkExports(choices, artifact, weights) {
  JSON.parse([...exportJson(artifact, 'fuzz')].join(''));
  if (artifact.network.architecture !== 'perceptron' || artifact.header.base) return;
  const form = choices.of(['u8', 'f32']);
  const file = exportSafetensors(artifact, weights, { form, producer: 'fuzz' });
  const back = await importSafetensors(file);
  if (back.weightsHash !== artifact.weightsHash || !same(back.weights, weights)) {
    throw new Failure(`an export as ${form} comes back as something else`);
  }
}

/** Right files are accepted; without that, nothing below would mean much. */
export async function checkRightFiles(choices) {
  for (const { name, bytes } of artifacts) {
    const outcome = await checkArtifact(choices, bytes);
    if (!/^accepted, its own|too large/.test(outcome)) throw new Error(`${name}: ${outcome}`);
  }
}

/** Of the logs of few bytes and many moves, one in so many asks for more than its bytes are worth: that takes seconds. */
const BOMB_SHARE = 4;

/** A log whose steps are all alike, so that they cost next to nothing to code, of one block, as no writer makes it. */
function logOfMuchWork(choices) {
  const [model, weights] = choices.of([
    ['64-64', 4096],
    ['8-8-2', 80],
    ['30-20-8', 760],
  ]);
  const directions = choices.of([1, 2, 16]);
  const nonzeros = 1 + choices.to(weights);
  const moves = Math.min(weights, directions * nonzeros);
  const work = choices.once(BOMB_SHARE) ? 2 ** 26 : 2 ** 19;
  const steps = 1 + choices.to(Math.ceil(work / (moves + 128)));
  const header = { ...samples.find(({ kind }) => kind === 'log').header, model, directions: [directions] };
  const block = new LogBlockWriter(header, 1);
  const coefficients = new Int8Array(directions).fill(1);
  for (let seedStep = 1; seedStep <= steps; seedStep++)
    block.add({ seedStep, nonzeros, loss: 0, coefficients });
  const end = encodeSection(0x45, concat(leb128(steps), new Uint8Array(32)));
  return concat(openingOfLog(header), block.finish(), end);
}

export const artifactEntries = [
  {
    name: 'openArtifact, much work',
    share: 1,
    make(choices) {
      const bytes = logOfMuchWork(choices);
      return { kind: 'log', bytes, check: () => checkArtifact(choices, bytes) };
    },
  },
  {
    name: 'openArtifact',
    share: 500,
    make(choices) {
      const origin = choices.once(16) ? choices.of(samples) : choices.of(artifacts);
      const { bytes } = mutateContainer(choices, origin);
      return { kind: origin.kind, bytes, check: () => checkArtifact(choices, bytes) };
    },
  },
];

export const close = () => wasm.close();
