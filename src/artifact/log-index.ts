/**
 * A side index of a long seed log: latents at the starts of some of its blocks, so that the weights after any step
 * are found without the steps before. It is a cache, bound to its log by the hash of the log's bytes. That its latents
 * are the log's could be told only by the replay that it saves: so whoever made it signs it, with a key that is nobody
 * else's, and takes no other. It is made again where it is missing, damaged, of another log or of somebody else.
 */

import { deflateSync, inflateSync } from 'fflate';
import { ArtifactError, printable } from '../errors.js';
import { STEPS_MAX } from '../random/directions.js';
import { initLatents, latentOf, latentRange, tritOf } from '../random/latents.js';
import { Breath, type Watch } from '../watch.js';
import { atEnd, headerOf, payload, type SeedLog } from './artifact.js';
import { type ByteReader, ByteWriter } from './bytes.js';
import { encodeSection, preamble, readSections, type Section, SectionType } from './container.js';
import { checkedBase } from './delta.js';
import { encodeHeader, parseKey } from './header.js';
import { checkStep, moveLatents, setsOfStep } from './rebuild.js';

/** Latents after some steps of a log. */
export interface Checkpoint {
  readonly steps: number;
  readonly latents: Int8Array;
}

/** There are so many checkpoints at most. */
const CHECKPOINTS_MAX = 32;
const SIGNATURE_BYTES = 32;

/**
 * Replays a log once, and keeps the latents at the starts of blocks.
 * @param base - of a delta, the weights of its base
 * @param watch - a signal to give up by, and progress in steps
 * @returns none for a log of one block
 */
export async function indexLog(log: SeedLog, base?: Int8Array, watch?: Watch): Promise<Checkpoint[]> {
  const breath = new Breath(watch);
  const every = Math.ceil((log.blocks.length - 1) / CHECKPOINTS_MAX);
  const wanted = new Set(log.blocks.filter((_, i) => i > 0 && i % every === 0).map((first) => first - 1));
  const latents = await startOf(log, base);
  const checkpoints: Checkpoint[] = [];
  for (const { step, ...entry } of wanted.size > 0 ? log.replaySteps() : []) {
    if (breath.due()) await breath.take(step, log.steps);
    move(log, entry, latents);
    if (wanted.has(step)) checkpoints.push({ steps: step, latents: latents.slice() });
  }
  return checkpoints;
}

/**
 * The weights after a step, from the nearest checkpoint before it.
 * @throws {ConfigError} when there is no such step
 * @throws {ArtifactError} when the base is missing
 */
export async function rebuildIndexed(
  log: SeedLog,
  checkpoints: readonly Checkpoint[],
  step: number,
  base?: Int8Array,
  watch?: Watch,
): Promise<Int8Array> {
  checkStep(log, step);
  const breath = new Breath(watch);
  const nearest = checkpoints.filter(({ steps }) => steps <= step).at(-1);
  const latents = nearest ? nearest.latents.slice() : await startOf(log, base);
  for (const entry of log.replaySteps((nearest?.steps ?? 0) + 1)) {
    if (entry.step > step) break;
    if (breath.due()) await breath.take(entry.step, step);
    move(log, entry, latents);
  }
  return latents.map((latent) => tritOf(latent, log.header.cut));
}

/**
 * The index as a file.
 * @param key - that nobody else has; it signs the file
 */
export async function encodeLogIndex(
  log: SeedLog,
  checkpoints: readonly Checkpoint[],
  key: Uint8Array,
): Promise<Uint8Array> {
  const header = { ...log.header, kind: 'log' as const, config: { indexOf: await log.fingerprint() } };
  const file = new ByteWriter().raw(preamble()).raw(encodeSection(SectionType.header, encodeHeader(header)));
  for (const { steps, latents } of checkpoints) {
    const bytes = new Uint8Array(latents.buffer, latents.byteOffset, latents.length);
    const state = new ByteWriter().integer(steps).raw(deflateSync(bytes)).finish();
    file.raw(encodeSection(SectionType.state, state));
  }
  const made = file.finish() as Uint8Array<ArrayBuffer>;
  const signature = await globalThis.crypto.subtle.sign('HMAC', await hmac(key), made);
  return file.raw(encodeSection(SectionType.end, new Uint8Array(signature))).finish();
}

function hmac(key: Uint8Array): Promise<CryptoKey> {
  const { subtle } = globalThis.crypto;
  const bytes = key as Uint8Array<ArrayBuffer>;
  return subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign', 'verify']);
}

/**
 * Reads an index.
 * @param key - that it must be signed with
 * @throws {ArtifactError} when it is damaged, another log's, or not signed with this key
 */
export async function decodeLogIndex(
  log: SeedLog,
  bytes: Uint8Array,
  key: Uint8Array,
): Promise<Checkpoint[]> {
  const sections = readSections(bytes);
  const { config } = headerOf(bytes, sections);
  await requireSigned(bytes, sections, key);
  if (config.indexOf !== (await log.fingerprint()))
    throw new ArtifactError('header at byte 5: expected the index of this log');
  const { parameters } = log.network;
  const starts = new Set(log.blocks);
  const range = latentRange(log.header.cut);
  let before = 0;
  return sections.slice(1, -1).map((section) => {
    const reader = payload(bytes, section);
    const steps = reader.integer('step', STEPS_MAX);
    if (section.type !== SectionType.state || !starts.has(steps + 1) || steps <= before) {
      throw new ArtifactError(
        `${section.name} at byte ${section.offset}: expected latents at the start of the next block`,
      );
    }
    before = steps;
    const latents = inflated(reader, parameters);
    const stray = latents.findIndex((latent) => Math.abs(latent) > range);
    if (stray >= 0) throw reader.fault(`expected latents within ±${range}, got ${latents[stray]}`);
    return { steps, latents };
  });
}

/** The rest of a section, unpacked. */
function inflated(reader: ByteReader, parameters: number): Int8Array {
  const start = reader.offset;
  const room = new Uint8Array(parameters + 1); // one more, to see whether there are more
  let length: number;
  try {
    ({ length } = inflateSync(reader.take(reader.left, 'latents'), { out: room }));
  } catch (cause) {
    throw reader.fault(`expected deflated latents, got: ${printable((cause as Error).message)}`, start);
  }
  if (length !== parameters) throw reader.fault(`expected ${parameters} latents, got ${length}`, start);
  return new Int8Array(room.buffer, 0, parameters);
}

async function requireSigned(
  bytes: Uint8Array,
  sections: readonly Section[],
  key: Uint8Array,
): Promise<void> {
  const { type, name, offset, start, end } = sections[sections.length - 1];
  const signature = bytes.slice(start, end);
  const signed = type === SectionType.end && signature.length === SIGNATURE_BYTES;
  const made = bytes.slice(0, offset);
  if (signed && (await globalThis.crypto.subtle.verify('HMAC', await hmac(key), signature, made))) return;
  throw new ArtifactError(`${name} at byte ${offset}: expected an index that was made and signed here`);
}

async function startOf(log: SeedLog, base: Int8Array | undefined): Promise<Int8Array> {
  const { cut, key } = log.header;
  const start = await checkedBase(log, base);
  if (start) return start.map((trit) => latentOf(trit, cut));
  const latents = new Int8Array(log.network.parameters);
  log.network.tensors.forEach(({ offset, rows, columns }, tensor) => {
    initLatents(parseKey(key), tensor, cut, latents.subarray(offset, offset + rows * columns));
  });
  return latents;
}

function move(log: SeedLog, entry: Parameters<typeof setsOfStep>[1], latents: Int8Array): void {
  let first = 0;
  for (const set of setsOfStep(log, entry)) {
    const coefficients = entry.coefficients.subarray(first, first + set.directions);
    moveLatents(set, coefficients, 0, latents, latentRange(log.header.cut));
    first += set.directions;
  }
  if (first !== entry.coefficients.length) throw atEnd(log, 'expected coefficients for every direction');
}
