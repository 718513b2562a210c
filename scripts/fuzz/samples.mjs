// Files that are right, of every kind, small, so that many can be mutated: the test vectors, unfinished runs,
// safetensors of every form, IDX files, gzip, settings.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TextDecoder } from 'node:util';
import { gzipSync } from 'node:zlib';
import { openArtifact } from '../../dist/src/artifact/artifact.js';
import { encodeCheckpoint, readCheckpoint } from '../../dist/src/artifact/checkpoint.js';
import { readUnfinishedLog } from '../../dist/src/artifact/unfinished-log.js';
import { rebuildVerified } from '../../dist/src/artifact/rebuild.js';
import { ReferenceBackend } from '../../dist/src/backend/reference/reference.js';
import { readWholeSections } from '../../dist/src/artifact/container.js';
import { checkSteConfig } from '../../dist/src/backprop/config.js';
import { STE_PRESETS } from '../../dist/src/backprop/presets.js';
import { exportSafetensors } from '../../dist/src/exchange/export-safetensors.js';
import { checkConfig } from '../../dist/src/perturb/config.js';
import { PRESETS } from '../../dist/src/perturb/presets.js';
import { bytesOf, concat, safetensors } from './bytes.mjs';

const vectors = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'test', 'vectors');

const OPENERS = {
  artifact: (bytes) => openArtifact(bytes),
  log: (bytes) => readUnfinishedLog(bytes),
  checkpoint: (bytes) => readCheckpoint(bytes),
  arrays: (bytes) => readCheckpoint(bytes),
};

/** A file of the container, in its parts. */
function sample(name, bytes, reader) {
  const { sections } = readWholeSections(bytes);
  const parts = sections.map(({ type, start, end }) => ({ type, payload: bytes.slice(start, end) }));
  const { header } = OPENERS[reader](bytes);
  const kind = { log: 'unfinished log', checkpoint: 'checkpoint', arrays: 'arrays' }[reader] ?? header.kind;
  return { name, kind, bytes, parts, header, version: bytes[4] };
}

function containers() {
  const list = [];
  for (const version of ['v1', 'v2']) {
    for (const file of readdirSync(join(vectors, version)).filter((one) => one.endsWith('.tern'))) {
      const bytes = new Uint8Array(readFileSync(join(vectors, version, file)));
      list.push(sample(`${version}/${file}`, bytes, file.startsWith('unfinished') ? 'log' : 'artifact'));
    }
  }
  const pool = list.find(({ name }) => name === 'v2/pool-cut1.tern').header;
  const size = pool.directions.reduce((sum, one) => sum + one, 0);
  const reals = () => Float64Array.from({ length: size }, (_, i) => Math.sin(i));
  const arrays = { values: reals(), mean: reals(), square: reals(), updates: new Uint32Array(size).fill(7) };
  list.push(sample('checkpoint', encodeCheckpoint(pool, { step: 7, pool: arrays }), 'checkpoint'));
  const shadow = [49, 40].map((length) => Float32Array.from({ length }, (_, i) => Math.cos(i)));
  list.push(sample('arrays', encodeCheckpoint(pool, { step: 7, arrays: shadow }), 'arrays'));
  return list;
}

/** Of the container: artifacts of all kinds and versions, and unfinished runs. */
export const samples = containers();
export const artifacts = samples.filter(({ kind }) => ['log', 'pool', 'packed'].includes(kind));
export const unfinished = samples.filter(({ kind }) => !artifacts.some((one) => one.kind === kind));

/** The weights of right files by their hash: what deltas may begin with. */
export const weightsByHash = new Map();
const remaining = artifacts.map(({ bytes }) => openArtifact(bytes));
while (remaining.length > 0) {
  const next = remaining.findIndex(({ header }) => !header.base || weightsByHash.has(header.base.hash));
  const [artifact] = remaining.splice(next, 1);
  const base = weightsByHash.get(artifact.header.base?.hash);
  weightsByHash.set(artifact.weightsHash, await rebuildVerified(artifact, new ReferenceBackend(), base));
}

const DTYPES = {
  F64: [8, (view, at, value) => view.setFloat64(at, value, true)],
  F32: [4, (view, at, value) => view.setFloat32(at, value, true)],
  F16: [2, (view, at, value) => view.setUint16(at, 0x3800 | Math.trunc(1023 * Math.abs(value)), true)],
  BF16: [2, (view, at, value) => view.setUint16(at, 0x3f00 | Math.trunc(127 * Math.abs(value)), true)],
  I8: [1, (view, at, value) => view.setInt8(at, Math.round(100 * value))],
};

/** A perceptron of three layers in real numbers, as other tools save it. */
function realModel(dtype) {
  const [size, put] = DTYPES[dtype];
  let end = 0;
  const entries = {};
  for (const [layer, [rows, columns]] of [
    [7, 6],
    [5, 7],
    [4, 5],
  ].entries()) {
    const begin = end;
    end += size * rows * columns;
    entries[`${2 * layer}.weight`] = { dtype, shape: [rows, columns], data_offsets: [begin, end] };
  }
  const view = new DataView(new ArrayBuffer(end));
  for (let i = 0; i < end / size; i++) put(view, i * size, Math.sin(i));
  return { header: { __metadata__: { format: 'pt' }, ...entries }, data: bytesOf(view) };
}

/** Safetensors: exports of both forms, and real models of every type; header and data apart. */
export const models = [
  ...artifacts
    .filter(
      ({ kind, version, header }) =>
        kind === 'packed' && version === 2 && typeof header.model === 'string' && !header.base,
    )
    .flatMap(({ name, bytes }) =>
      ['u8', 'f32'].map((form) => {
        const artifact = openArtifact(bytes);
        const file = exportSafetensors(artifact, artifact.weights, { form, producer: 'fuzz' });
        const at = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
        const header = JSON.parse(new TextDecoder().decode(file.subarray(8, at)));
        return { name: `${name} as ${form}`, kind: `exported ${form}`, header, data: file.slice(at) };
      }),
    ),
  ...Object.keys(DTYPES).map((dtype) => ({ name: dtype, kind: `real ${dtype}`, ...realModel(dtype) })),
].map((model) => ({ ...model, bytes: safetensors(model.header, model.data) }));

export const images = concat(
  Uint8Array.of(0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 6),
  new Uint8Array(180).fill(9),
);
export const labels = Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 5, 0, 1, 2, 3, 1);
export const gzips = [images, labels].map((bytes) => new Uint8Array(gzipSync(bytes)));

/** Settings of both trainers, and what checks them. */
export const settings = [
  ...Object.values(PRESETS).map((preset) => ({ kind: 'noise-step', preset, check: checkConfig })),
  ...Object.values(STE_PRESETS).map((preset) => ({ kind: 'ste', preset, check: checkSteConfig })),
];
