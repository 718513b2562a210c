// Entry points: an artifact in ranges, from memory, a Blob, a file and a URL. Whatever opens whole opens in ranges
// and gives the same; a server that lies is an error.

import { Blob } from 'node:buffer';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openArtifact } from '../../dist/src/artifact/artifact.js';
import { blobSource, bytesSource } from '../../dist/src/artifact/byte-source.js';
import { fileSource } from '../../dist/src/artifact/file-source.js';
import { openArtifactFrom } from '../../dist/src/artifact/open-from.js';
import { openUrl } from '../../dist/src/artifact/open-url.js';
import { rebuildTensor } from '../../dist/src/artifact/rebuild.js';
import { urlSource } from '../../dist/src/artifact/url-source.js';
import { ArtifactError } from '../../dist/src/errors.js';
import { baseOf } from './artifact-entries.mjs';
import { same } from './bytes.mjs';
import { artifactRefusal, Failure, isSmall, readLater, sourceRefusal } from './checks.mjs';
import { mutateBytes, mutateContainer } from './mutate.mjs';
import { artifacts, samples } from './samples.mjs';

const folder = mkdtempSync(join(tmpdir(), 'ternseed-fuzz-'));
const path = join(folder, 'a.tern');

/** What the server answers with. */
let served = { bytes: new Uint8Array(0), behaviour: 'honest', choices: null, requests: 0 };
const server = createServer((request, response) => answer(request, response));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
server.unref();
const url = `http://127.0.0.1:${server.address().port}/a.tern`;

/** Servers that keep to HTTP, as often as those that do not. */
const HONEST = ['honest', 'honest', 'honest', 'whole'];
const LYING = ['range', 'size', 'cut', 'long', 'status', 'changed', 'no range told'];

function answer({ headers }, response) {
  const { bytes, behaviour, choices } = served;
  served.requests += 1;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
  if (from === undefined || behaviour === 'whole') return void response.writeHead(200).end(bytes);
  const first = Number(from);
  const last = Math.min(Number(to), bytes.length - 1);
  if (behaviour === 'status') {
    return void response.writeHead(choices.of([204, 206, 301, 404, 416, 500, 503])).end();
  }
  if (first >= bytes.length) return void response.writeHead(416).end();
  const off = behaviour === 'range' ? 1 + choices.to(3) : 0;
  const size = behaviour === 'size' ? choices.of([0, 1, bytes.length + 1, 2 ** 31, 2 ** 50]) : bytes.length;
  const told = { 'content-range': `bytes ${first + off}-${last + off}/${size}`, etag: '"1"' };
  response.writeHead(206, behaviour === 'no range told' ? {} : told);
  const part = bytes.subarray(first, last + 1);
  if (behaviour === 'cut') return void response.end(part.subarray(0, choices.to(part.length + 1)));
  if (behaviour === 'long') return void response.end(Buffer.concat([part, bytes]));
  if (behaviour === 'changed' && served.requests > 1) return void response.end(mutatedPart(choices, part));
  response.end(part);
}

function mutatedPart(choices, part) {
  const changed = mutateBytes(choices, part).bytes;
  return changed.length === part.length ? changed : part;
}

const FIELDS = ['kind', 'version', 'bytes', 'steps', 'weightsHash'];

/**
 * Opens in ranges, and compares with what opening whole gives; of a file that was damaged by accident, with
 * what it was.
 * @param origin - the right file, where the damage is an accident
 * @param steady - whether the source gives the bytes, all of them and no others
 */
async function checkSource(choices, bytes, origin, open, steady) {
  const refusal = steady ? artifactRefusal : sourceRefusal;
  const whole = wholeOf(bytes);
  const source = await readLater(open, bytes, refusal);
  if (!source) {
    if (steady) throw new Failure('a source of right bytes does not open');
    return 'refused by the source';
  }
  try {
    const distant = await readLater(() => openArtifactFrom(source), bytes, refusal);
    if (!distant) {
      if (steady && whole) throw new Failure('refused in ranges, taken whole');
      return 'refused';
    }
    if (steady && whole) {
      const other = FIELDS.find((field) => distant[field] !== whole[field]);
      if (other) throw new Failure(`"${other}" in ranges is ${distant[other]}, whole ${whole[other]}`);
    }
    if (!isSmall(distant)) return 'opened, too large to rebuild here';
    const { name } = choices.of(distant.network.tensors);
    const step = distant.kind === 'log' ? choices.to(distant.steps + 1) : distant.steps;
    const tensor = await readLater(() => distant.rebuildTensor(name, step, baseOf(distant)), bytes, refusal);
    if (steady && whole) checkTensor(whole, name, step, tensor, bytes);
    if (!tensor) return 'refused when rebuilt';
    if (steady && origin) checkTensor(openArtifact(origin), name, step, tensor, bytes);
    if (choices.once(4)) await readLater(() => distant.load(), bytes, refusal);
    return whole ? 'accepted' : 'a sound tensor of a damaged file';
  } finally {
    await source.close();
  }
}

/** What opening whole gives, or null. */
function wholeOf(bytes) {
  try {
    return openArtifact(bytes);
  } catch (error) {
    if (error instanceof ArtifactError) return null;
    throw error;
  }
}

function checkTensor(whole, name, step, tensor, bytes) {
  let wanted = null;
  try {
    wanted = rebuildTensor(whole, name, step, baseOf(whole));
  } catch (error) {
    artifactRefusal(error, bytes);
  }
  // Before the last step, a block that does not hold what it says need not be read to its end.
  const refused = wanted === null || tensor === null;
  const alike = refused ? wanted === tensor || step < whole.steps : same(wanted, tensor);
  if (!alike) throw new Failure(`${name} after step ${step} in ranges is not that of the whole`);
}

async function checkUrl(choices, bytes, origin) {
  const behaviour = choices.once(2) ? choices.of(HONEST) : choices.of(LYING);
  served = { bytes, behaviour, choices, requests: 0 };
  if (choices.once(4)) {
    const opened = await readLater(() => openUrl(url), bytes, namedRefusal);
    return opened ? 'opened whole' : 'refused whole';
  }
  // An empty file has no range, and is no artifact.
  const steady = HONEST.includes(behaviour) && bytes.length > 0;
  return checkSource(choices, bytes, origin, () => urlSource(url), steady);
}

/** openUrl names the address before the place. */
function namedRefusal(error, bytes) {
  if (error instanceof ArtifactError) {
    artifactRefusal(new ArtifactError(error.message.replace(/^"[^"]*": /, '')), bytes);
  } else sourceRefusal(error, bytes);
}

const OPENERS = {
  bytes: [
    230,
    (choices, bytes, origin) => checkSource(choices, bytes, origin, () => bytesSource(bytes), true),
  ],
  Blob: [
    4,
    (choices, bytes, origin) =>
      checkSource(choices, bytes, origin, () => blobSource(new Blob([bytes])), true),
  ],
  path: [
    2,
    (choices, bytes, origin) => {
      writeFileSync(path, bytes);
      return checkSource(choices, bytes, origin, () => fileSource(path), true);
    },
  ],
  URL: [2, checkUrl],
};

export const sourceEntries = Object.entries(OPENERS).map(([name, [share, check]]) => ({
  name: `openArtifactFrom, ${name}`,
  share,
  make(choices) {
    const origin = choices.once(16) ? choices.of(samples) : choices.of(artifacts);
    const { bytes, damage } = mutateContainer(choices, origin);
    const right = damage && artifacts.includes(origin) ? origin.bytes : null;
    return { kind: origin.kind, bytes, check: () => check(choices, bytes, right) };
  },
}));

export function close() {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true, force: true });
}
