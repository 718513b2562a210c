/**
 * What an unfinished run leaves behind, so that it can go on to the very same bits. A pool's run leaves
 * a checkpoint: the real coefficients and the optimizer's moments; one by backprop, arrays of real numbers. A log's
 * run leaves the log itself (unfinished-log.ts).
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

/** A checkpoint as it is read. */
export interface Checkpoint {
  readonly header: Header;
  readonly step: number;
  readonly pool: PoolArrays;
}

/** A checkpoint file. */
export function encodeCheckpoint(header: Header, step: number, pool: PoolArrays): Uint8Array {
  const writer = new ByteWriter().integer(step);
  for (const array of [pool.values, pool.mean, pool.square, pool.updates]) {
    writer.raw(new Uint8Array(array.buffer, array.byteOffset, array.byteLength)); // little-endian, as wasm is
  }
  const file = new ByteWriter().raw(preamble());
  file.raw(encodeSection(SectionType.header, encodeHeader({ ...header, kind: 'checkpoint' })));
  return file.raw(encodeSection(SectionType.state, writer.finish())).finish();
}

/**
 * Reads a checkpoint.
 * @throws {ArtifactError} when it is not one, or damaged
 */
export function readCheckpoint(bytes: Uint8Array): Checkpoint {
  const sections = readSections(bytes);
  const header = headerOf(bytes, sections);
  const state = sections[1];
  if (header.kind !== 'checkpoint' || state?.type !== SectionType.state || sections.length !== 2) {
    throw new ArtifactError('header at byte 5: expected a checkpoint');
  }
  const reader = payload(bytes, state);
  const step = reader.integer('step', STEPS_MAX);
  const size = header.directions.reduce((sum, count) => sum + count, 0);
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
  return { header, step, pool };
}

/** A checkpoint of a run whose state is arrays of real numbers, as it is read. */
export interface ArraysCheckpoint {
  readonly header: Header;
  readonly step: number;
  readonly arrays: readonly Float32Array[];
}

/** A checkpoint file of arrays: a section for the step, one for each array. */
export function encodeArrays(header: Header, step: number, arrays: readonly Float32Array[]): Uint8Array {
  const file = new ByteWriter().raw(preamble());
  file.raw(encodeSection(SectionType.header, encodeHeader({ ...header, kind: 'checkpoint' })));
  file.raw(encodeSection(SectionType.state, new ByteWriter().integer(step).finish()));
  for (const { buffer, byteOffset, byteLength } of arrays) {
    file.raw(encodeSection(SectionType.state, new Uint8Array(buffer, byteOffset, byteLength))); // little-endian
  }
  return file.finish();
}

/**
 * Reads a checkpoint of arrays; that they fit its configuration is the trainer's to check.
 * @throws {ArtifactError} when it is not one, or damaged
 */
export function readArrays(bytes: Uint8Array): ArraysCheckpoint {
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

/** The header of an unfinished run, which is a log or a checkpoint; throws when it is neither. */
export function headerOfUnfinished(bytes: Uint8Array): Header {
  const { sections } = readWholeSections(bytes);
  const header = headerOf(bytes, sections);
  const { kind } = header;
  if (kind === 'log' || kind === 'checkpoint') return header;
  throw new ByteReader(bytes, 'header').fault(`expected an unfinished run, got a ${kind} artifact`, 5);
}
