/**
 * A side index of a long seed log: latents at the starts of some of its blocks, so that the weights after any step
 * are found without the steps before. It is a cache: bound to its log by the hash of the log's bytes, checked, and made
 * anew where it is missing, damaged or of another log.
 */

import { deflateSync, inflateSync } from 'fflate';
import { ArtifactError } from '../errors.js';
import { STEPS_MAX } from '../random/directions.js';
import { initLatents, latentOf, latentRange, tritOf } from '../random/latents.js';
import { atEnd, headerOf, payload, type SeedLog } from './artifact.js';
import { ByteWriter } from './bytes.js';
import { encodeSection, preamble, readSections, SectionType } from './container.js';
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

/**
 * Replays a log once, and keeps the latents at the starts of blocks.
 * @param base - of a delta, the weights of its base
 * @returns none for a log of one block
 */
export async function indexLog(log: SeedLog, base?: Int8Array): Promise<Checkpoint[]> {
  const every = Math.ceil((log.blocks.length - 1) / CHECKPOINTS_MAX);
  const wanted = new Set(log.blocks.filter((_, i) => i > 0 && i % every === 0).map((first) => first - 1));
  const latents = await startOf(log, base);
  const checkpoints: Checkpoint[] = [];
  for (const { step, ...entry } of wanted.size > 0 ? log.replaySteps() : []) {
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
): Promise<Int8Array> {
  checkStep(log, step);
  const nearest = checkpoints.filter(({ steps }) => steps <= step).at(-1);
  const latents = nearest ? nearest.latents.slice() : await startOf(log, base);
  for (const entry of log.replaySteps((nearest?.steps ?? 0) + 1)) {
    if (entry.step > step) break;
    move(log, entry, latents);
  }
  return latents.map((latent) => tritOf(latent, log.header.cut));
}

/** The index as a file. */
export async function encodeLogIndex(log: SeedLog, checkpoints: readonly Checkpoint[]): Promise<Uint8Array> {
  const header = { ...log.header, kind: 'log' as const, config: { indexOf: await log.fingerprint() } };
  const file = new ByteWriter().raw(preamble()).raw(encodeSection(SectionType.header, encodeHeader(header)));
  for (const { steps, latents } of checkpoints) {
    const bytes = new Uint8Array(latents.buffer, latents.byteOffset, latents.length);
    const state = new ByteWriter().integer(steps).raw(deflateSync(bytes)).finish();
    file.raw(encodeSection(SectionType.state, state));
  }
  return file.finish();
}

/**
 * Reads an index.
 * @throws {ArtifactError} when it is damaged, or another log's
 */
export async function decodeLogIndex(log: SeedLog, bytes: Uint8Array): Promise<Checkpoint[]> {
  const sections = readSections(bytes);
  const { config } = headerOf(bytes, sections);
  if (config.indexOf !== (await log.fingerprint()))
    throw new ArtifactError('header at byte 5: expected the index of this log');
  const { parameters } = log.network;
  const starts = new Set(log.blocks);
  return sections.slice(1).map((section) => {
    const reader = payload(bytes, section);
    const steps = reader.integer('step', STEPS_MAX);
    if (section.type !== SectionType.state || !starts.has(steps + 1)) {
      throw new ArtifactError(
        `${section.name} at byte ${section.offset}: expected latents at the start of a block`,
      );
    }
    const latents = new Uint8Array(parameters + 1);
    const read = inflateSync(reader.take(reader.left, 'latents'), { out: latents });
    if (read.length !== parameters) throw reader.fault(`expected ${parameters} latents, got ${read.length}`);
    return { steps, latents: new Int8Array(latents.buffer, 0, parameters) };
  });
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
