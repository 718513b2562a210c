/**
 * What an unfinished run leaves behind, so that it can continue to the very same bits: a checkpoint of what its
 * trainer keeps. A log's run leaves the log itself (unfinished-log.ts).
 */

import { ArtifactError } from '../errors.js';
import { STEPS_MAX } from '../random/directions.js';
import { headerOf, payload } from './artifact.js';
import { ByteReader, ByteWriter } from './bytes.js';
import { encodeSection, preamble, readSections, readWholeSections, SectionType } from './container.js';
import { encodeHeader, type Header } from './header.js';

/** The optimizer's arrays, [D] each. */
export interface PoolArrays {
  readonly values: Float64Array;
  readonly mean: Float64Array;
  readonly square: Float64Array;
  readonly updates: Uint32Array;
}

/** What a run needs to continue where it stopped. */
export interface RunState {
  readonly step: number;
  /** Of a pool: the optimizer's coefficients and means. */
  readonly pool?: PoolArrays;
  /** Of others: arrays of real numbers, as their trainer knows them. A log is its own state. */
  readonly arrays?: readonly Float32Array[];
}

/** A checkpoint as it is read. */
export interface Checkpoint extends RunState {
  readonly header: Header;
}

/** A checkpoint file: of a pool a section, of arrays one for the step and one for each. */
export function encodeCheckpoint(header: Header, { step, pool, arrays = [] }: RunState): Uint8Array {
  const file = new ByteWriter().raw(preamble());
  file.raw(encodeSection(SectionType.header, encodeHeader({ ...header, kind: 'checkpoint' })));
  const state = new ByteWriter().integer(step);
  // Little-endian, as wasm is.
  const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array | Float64Array | Uint32Array) =>
    new Uint8Array(buffer, byteOffset, byteLength);
  if (pool) for (const key of ['values', 'mean', 'square', 'updates'] as const) state.raw(bytesOf(pool[key]));
  file.raw(encodeSection(SectionType.state, state.finish()));
  for (const array of arrays) file.raw(encodeSection(SectionType.state, bytesOf(array)));
  return file.finish();
}

/**
 * Reads a checkpoint; that its arrays fit its configuration is the trainer's to check.
 * @throws {ArtifactError} when it is not one, or damaged
 */
export function readCheckpoint(bytes: Uint8Array): Checkpoint {
  const sections = readSections(bytes);
  const header = headerOf(bytes, sections);
  const [state, ...rest] = sections.slice(1);
  const stray = sections.slice(1).find(({ type }) => type !== SectionType.state);
  if (header.kind !== 'checkpoint' || !state || stray) {
    throw new ArtifactError(
      `${stray?.name ?? 'header'} at byte ${stray?.offset ?? 5}: expected a checkpoint`,
    );
  }
  const reader = payload(bytes, state);
  const step = reader.integer('step', STEPS_MAX);
  if (rest.length === 0) return { header, step, pool: readPool(reader, header) };
  reader.expectEnd();
  const arrays = rest.map((section) => {
    const { left } = payload(bytes, section);
    if (left % 4 !== 0) {
      throw new ArtifactError(
        `state at byte ${section.offset}: expected whole float32 numbers, got ${left} bytes`,
      );
    }
    return new Float32Array(Uint8Array.from(bytes.subarray(section.start, section.end)).buffer);
  });
  return { header, step, arrays };
}

function readPool(reader: ByteReader, { directions }: Header): PoolArrays {
  const size = directions.reduce((sum, count) => sum + count, 0);
  // A copy of its own, aligned; a Buffer's `slice` would be a view.
  const copy = (length: number) => Uint8Array.from(reader.take(length, 'state')).buffer;
  const doubles = () => new Float64Array(copy(size * 8));
  const pool = {
    values: doubles(),
    mean: doubles(),
    square: doubles(),
    updates: new Uint32Array(copy(size * 4)),
  };
  reader.expectEnd();
  return pool;
}

/** The header of an unfinished run, which is a log or a checkpoint; throws when it is neither. */
export function headerOfUnfinished(bytes: Uint8Array): Header {
  const { sections } = readWholeSections(bytes);
  const header = headerOf(bytes, sections);
  const { kind } = header;
  if (kind === 'log' || kind === 'checkpoint') return header;
  throw new ByteReader(bytes, 'header').fault(`expected an unfinished run, got a ${kind} artifact`, 5);
}
