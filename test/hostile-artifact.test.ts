/**
 * Checks that bytes that lie are an ArtifactError and nothing else: damaged files, files whose
 * checksums are right but whose content is not, and files of other formats.
 */

import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { encodePacked, encodeSeedLog, encodeSeedPool, openArtifact } from '../src/artifact/artifact.js';
import { perceptronArtifact } from '../src/artifact/perceptron.js';
import { encodeCheckpoint, headerOfUnfinished, readCheckpoint } from '../src/artifact/checkpoint.js';
import { graphOf } from '../src/ternary/builders/index.js';
import { SignedCoder, TritCoder } from '../src/artifact/integer-coder.js';
import { BitModel, RangeEncoder } from '../src/artifact/range-coder.js';
import { rebuildVerified } from '../src/artifact/rebuild.js';
import { encodeLogBlock } from '../src/artifact/seed-log.js';
import { openingOfLog, readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import type { Tensor } from '../src/ternary/model.js';
import { PRECISIONS } from '../src/ternary/precision.js';
import { reference } from './support/backends.js';
import {
  errorOf,
  expectFault,
  expectRefused,
  expectSafe,
  flipped,
  KINDS,
  openAndRebuild,
  REFUSED,
  replaced,
  resized,
  runOf,
  SAME,
  trainAll,
} from './support/hostile.js';
import { keptSteps } from './support/log-steps.js';
import {
  concat,
  headerPayload,
  joinSections,
  leb128,
  type RawSection,
  section,
  splitSections,
  text,
} from './support/sections.js';

beforeAll(trainAll);

describe.each(KINDS)('a damaged $artifact of $perturb', (kind) => {
  it('cut at any byte is an ArtifactError', () => {
    const { bytes } = runOf(kind);
    for (let length = 0; length < bytes.length; length++) expectRefused(bytes.subarray(0, length));
  });

  it('with any bit flipped is an ArtifactError', () => {
    const { bytes } = runOf(kind);
    for (let bit = 0; bit < 8 * bytes.length; bit++) expectRefused(flipped(bytes, bit));
  });

  it('with anything after its end is an ArtifactError', () => {
    const { bytes } = runOf(kind);
    for (const extra of [Uint8Array.of(0), text('E'), bytes, text('TERN')])
      expectRefused(concat(bytes, extra));
  });
});

describe.each(KINDS)('a $artifact of $perturb that lies with right checksums', (kind) => {
  it('in any bit of any section, never gives other weights', async () => {
    const run = runOf(kind);
    const sections = splitSections(run.bytes);
    const outcomes = new Set<string>();
    for (const [index, { payload }] of sections.entries()) {
      for (let bit = 0; bit < 8 * payload.length; bit++) {
        outcomes.add(await expectSafe(replaced(sections, index, flipped(payload, bit)), run.hash));
      }
    }
    expect(outcomes).toContain(REFUSED);
  });

  it('in the length of its header, never gives other weights', async () => {
    const run = runOf(kind);
    const sections = splitSections(run.bytes);
    for (const other of resized(sections[0].payload))
      await expectSafe(replaced(sections, 0, other), run.hash);
  });

  it('in the length of its body or its end, is an ArtifactError', async () => {
    const run = runOf(kind);
    const sections = splitSections(run.bytes);
    for (const index of [1, 2]) {
      for (const other of resized(sections[index].payload)) {
        expect(await expectSafe(replaced(sections, index, other), run.hash)).toBe(REFUSED);
      }
    }
  });

  it('in the length that a section declares, is an ArtifactError', () => {
    const sections = splitSections(runOf(kind).bytes);
    for (const [index, { type, payload }] of sections.entries()) {
      const lengths = [payload.length - 1, payload.length + 1, 2 ** 28, 2 ** 28 + 1, 2 ** 32 - 1].map(leb128);
      const overlong = concat(
        Uint8Array.of((payload.length % 128) | 128, Math.floor(payload.length / 128) | 128),
        Uint8Array.of(0),
      );
      for (const length of [...lengths, overlong, new Uint8Array(9).fill(255)]) {
        expectRefused(
          concat(
            joinSections(sections.slice(0, index)),
            section(type, payload, length),
            joinSections(sections.slice(index + 1)).subarray(5),
          ),
        );
      }
    }
  });

  it('with a section missing, doubled, swapped or foreign, is an ArtifactError', () => {
    const sections = splitSections(runOf(kind).bytes);
    for (const [index, one] of sections.entries()) {
      expectRefused(joinSections(sections.toSpliced(index, 1)));
      expectRefused(joinSections(sections.toSpliced(index, 0, one)));
      for (const type of ['Z', '\0', 'S', 'C', 'L', 'T', 'H']) {
        expectRefused(joinSections(sections.toSpliced(index, 0, { type, payload: new Uint8Array(3) })));
        if (type !== one.type) expectRefused(joinSections(sections.with(index, { ...one, type })));
      }
      for (let other = 0; other < index; other++) {
        expectRefused(joinSections(sections.with(index, sections[other] as RawSection).with(other, one)));
      }
    }
    expectRefused(joinSections([]));
  });
});

describe('an end section', () => {
  const end = (steps: number, hash = new Uint8Array(32)) => concat(leb128(steps), hash);

  it('with other steps than the log has is an ArtifactError', () => {
    const sections = splitSections(runOf(KINDS[0]).bytes);
    for (const steps of [0, 11, 13, 10_000_001, 2 ** 32 - 1]) {
      expectRefused(joinSections(sections.with(-1, { type: 'E', payload: end(steps) })));
    }
  });

  it.each(KINDS)('of a $artifact of $perturb with another hash opens and does not verify', async (kind) => {
    const sections = splitSections(runOf(kind).bytes);
    const bytes = joinSections(sections.with(-1, { type: 'E', payload: end(12) }));
    const error = await rebuildVerified(openArtifact(bytes), reference).catch((reason) => reason);
    expectFault(error, bytes);
  });
});

describe('a log block', () => {
  const lying = (range: readonly number[]) => {
    const [header, log, end] = splitSections(runOf(KINDS[0]).bytes) as [RawSection, RawSection, RawSection];
    const payload = concat(...range.map(leb128), log.payload.subarray(range.length)); // 1, 12 and 1 take a byte each
    return joinSections([header, { type: 'L', payload }, end]);
  };

  it('that holds the steps it says is accepted', () => {
    expect(lying([1, 12])).toEqual(runOf(KINDS[0]).bytes);
  });

  it.each([
    [0, 12],
    [2, 12],
    [1, 0],
    [1, 11],
    [1, 13],
    [1, 10_000_000],
    [10_000_001, 12],
    [2 ** 32 - 1, 2 ** 32 - 1],
  ])('that says to begin at step %i and to hold %i is an ArtifactError', (...range) =>
    expectRefused(lying(range)),
  );

  it.each([
    [1, 12, 0],
    [1, 12, 2],
    [1, 12, 10_000_000],
    [1, 12, 2 ** 32 - 1],
  ])(
    'that says to begin at step %i, to hold %i and to begin with those of step %i does not rebuild',
    async (...range) => {
      const bytes = lying(range);
      expectFault(await openAndRebuild(bytes).catch((reason) => reason), bytes);
    },
  );

  it('of no steps, between others that are right, is an ArtifactError', () => {
    const sections = splitSections(runOf(KINDS[0]).bytes);
    const empty = { type: 'L', payload: concat(leb128(13), leb128(0), leb128(13)) };
    expectRefused(joinSections(sections.toSpliced(2, 0, empty)));
  });

  it.each([0, 2 ** 20 + 1])('whose directions have %i nonzeros is an ArtifactError', async (nonzeros) => {
    const { header, steps } = runOf(KINDS[0]);
    const encoder = new RangeEncoder();
    encoder.encodeBit(new BitModel(), 1);
    encoder.encodeDirect(nonzeros, 21);
    const payload = concat(...[1, 1, 1].map(leb128), encoder.finish());
    const outcome = { steps: 1, weightsHash: '0'.repeat(64) };
    const bytes = replaced(splitSections(encodeSeedLog(header, steps.slice(0, 1), outcome)), 1, payload);
    await expect(openAndRebuild(bytes)).rejects.toThrow(/^log at byte \d+: .* nonzeros, got/);
    expect(() => encodeSeedLog(header, [{ ...steps[0], nonzeros }], outcome)).toThrow('"nonzeros" expected');
  });

  it('that holds other steps than block and end agree on does not replay', async () => {
    for (const count of [1, 11, 13, 5000]) {
      const sections = splitSections(lying([1, 12])).with(-1, {
        type: 'E',
        payload: concat(leb128(count), new Uint8Array(32)),
      });
      const log = sections[1] as RawSection;
      const payload = concat(leb128(1), leb128(count), log.payload.subarray(2));
      const bytes = joinSections(sections.with(1, { ...log, payload }));
      expectFault(await rebuildVerified(openArtifact(bytes), reference).catch((reason) => reason), bytes);
    }
  });
});

test('a pool’s coefficient that no training reaches is an ArtifactError', async () => {
  const { header, trainer } = runOf(KINDS[2]);
  const outcome = { steps: 12, weightsHash: '0'.repeat(64) };
  // cut 1: latents in −4…4, so that ±6 moves any of them past the cut
  for (const [value, message] of [
    [6, null],
    [7, 'within ±6, got 7'],
    [-32_768, 'within ±6, got -32768'],
  ] as const) {
    const bytes = encodeSeedPool(header, (await trainer.poolCoefficients()).fill(value, 3, 4), outcome);
    if (message === null) openArtifact(bytes);
    else expect(() => openArtifact(bytes)).toThrow(message);
  }
});

describe('precisions', () => {
  /** Values of an int8 and an int4-row layer: 36 × 8, 8 × 4 and four scales. */
  const values = new Int8Array(324).fill(1).fill(100, 0, 288);

  /** An artifact of these values whose header says other precisions. */
  const artifactOf = (precision: unknown, hash = '0'.repeat(64)) => {
    const { header } = runOf(KINDS[3]);
    const outcome = { steps: 1, weightsHash: hash };
    const bytes = encodePacked({ ...header, precision: ['int8', 'int4-row'] }, values, outcome);
    return replaced(splitSections(bytes), 0, headerPayload({ ...header, precision }));
  };

  it('that fit are accepted, so that the cases below fail for their own reason', () => {
    expect(perceptronArtifact(openArtifact(artifactOf(['int8', 'int4-row']))).network.precision).toEqual([
      'int8',
      'int4-row',
    ]);
  });

  it.each([
    [null],
    ['int8'],
    [{}],
    [{ length: 2, 0: 'int8', 1: 'int8' }],
    [[]],
    [['int8']],
    [['int8', 'int4-row', 'int8']],
    [Array(65).fill('int8')],
    [Array(5000).fill('int8')],
    [['int8', 'int5']],
    [['int8', 'INT4']],
    [['int8', 'toString']],
    [['int8', '__proto__']],
    [['int8', 7]],
    [['int8', null]],
    [['int8', ['int4']]],
    [['ternary', 'ternary']],
  ])('of %j are an ArtifactError that names the key', (precision) => {
    const bytes = artifactOf(precision);
    expectRefused(bytes);
    expect(() => openArtifact(bytes)).toThrow('"precision"');
  });

  it('of other layers than the body has are an ArtifactError, when opened or when rebuilt', async () => {
    const names = Object.keys(PRECISIONS);
    const { tensors } = openArtifact(artifactOf(['int8', 'int4-row'])).network;
    const hash = await weightsHash(values, tensors);
    for (const first of names) {
      for (const second of names) {
        // What is in both ranges is the same weights, whatever they are multiplied by.
        const same = first === 'int8' && ['int4-row', 'int8-row'].includes(second);
        const bytes = artifactOf([first, second], hash);
        expect(await expectSafe(bytes, hash)).toBe(same ? SAME : REFUSED);
      }
    }
  });

  it('in a log or a pool are an ArtifactError', () => {
    for (const kind of KINDS.slice(0, 3)) {
      for (const precision of [
        ['int8', 'int8'],
        ['ternary', 'ternary-row'],
        ['ternary', 'ternary'],
      ]) {
        const bytes = replaced(
          splitSections(runOf(kind).bytes),
          0,
          headerPayload({ ...runOf(kind).header, precision }),
        );
        expectRefused(bytes);
        expect(() => openArtifact(bytes)).toThrow(
          /expected (packed weights: it has layers|no "precision" where it goes)/,
        );
      }
    }
  });

  it.each([
    [['int4', 'ternary'], 0, 8, 'values of layer0.weight in -7…7, got 8'],
    [['int4', 'ternary'], 287, -8, 'values of layer0.weight in -7…7, got -8'],
    [['ternary', 'int8'], 288, 128, 'values of layer1.weight in -127…127, got 128'],
    [['ternary', 'int8'], 319, -128, 'values of layer1.weight in -127…127, got -128'],
    [['ternary', 'int8'], 300, 2 ** 20, 'values of layer1.weight in -127…127, got 1048576'],
    [['ternary', 'ternary-row'], 320, 0, 'values of layer1.scale in 1…127, got 0'],
    [['ternary', 'ternary-row'], 323, -1, 'values of layer1.scale in 1…127, got -1'],
    [['ternary', 'ternary-row'], 321, 128, 'values of layer1.scale in 1…127, got 128'],
    [['int8', 'ternary-row'], 321, 257, 'values of layer1.scale in 1…127, got 257'],
  ] as const)('%j with value %i being %i is an ArtifactError', (precision, at, value, message) => {
    const { header } = runOf(KINDS[3]);
    const lying = { ...header, precision };
    const good = encodePacked(lying, new Int8Array(324).fill(1), { steps: 1, weightsHash: '0'.repeat(64) });
    const { tensors } = graphOf(lying);
    const index = tensors.findLastIndex(({ offset }) => offset <= at);
    const { values: kind, offset, rows, columns } = tensors[index] as Tensor;
    const encoder = new RangeEncoder();
    const coder = kind === 'trit' ? new TritCoder() : new SignedCoder();
    for (let i = 0; i < rows * columns; i++) coder.encode(encoder, i === at - offset ? value : 1);
    const payload = concat(Uint8Array.of(0), encoder.finish());
    const bytes = replaced(splitSections(good), 1 + index, payload);
    expectRefused(bytes);
    expect(() => openArtifact(bytes)).toThrow(`expected ${message}`);
  });

  it('of a packed artifact damaged anywhere are an ArtifactError, or its weights are the same', async () => {
    const { header } = runOf(KINDS[3]);
    const lying = { ...header, precision: ['int4-row', 'int8'] as const };
    const { tensors, parameters } = graphOf(lying);
    const weights = Int8Array.from({ length: parameters }, (_v, i) => 1 + (i % 7));
    const hash = await weightsHash(weights, tensors);
    const good = encodePacked(lying, weights, { steps: 1, weightsHash: hash });
    for (let length = 0; length < good.length; length++) expectRefused(good.subarray(0, length));
    const sections = splitSections(good);
    for (const [index, { payload }] of sections.entries()) {
      for (let bit = 0; bit < 8 * payload.length; bit++) {
        expectRefused(flipped(good, 8 * (good.length - 1) - bit));
        await expectSafe(replaced(sections, index, flipped(payload, bit)), hash);
      }
    }
  });
});

describe('an unfinished run', () => {
  const readSteps = (bytes: Uint8Array) => keptSteps(readUnfinishedLog(bytes));
  const log = () => {
    const { header, steps } = runOf(KINDS[0]);
    return concat(
      openingOfLog(header),
      ...steps.map((step, index) => encodeLogBlock(header, index + 1, [step])),
    );
  };
  const checkpoint = async () => {
    const { header, trainer } = runOf(KINDS[2]);
    return encodeCheckpoint(header, await trainer.state());
  };

  it('of a pool, damaged or cut anywhere, is an ArtifactError', async () => {
    const bytes = await checkpoint();
    for (let length = 0; length < bytes.length; length++) {
      expectFault(
        errorOf(() => readCheckpoint(bytes.subarray(0, length))),
        bytes,
      );
      expectFault(
        errorOf(() => readCheckpoint(flipped(bytes, 8 * length + (length % 8)))),
        bytes,
      );
    }
  });

  it('that lies with right checksums is an ArtifactError or is read', async () => {
    for (const bytes of [log(), await checkpoint()]) {
      const sections = splitSections(bytes);
      for (const [index, { payload }] of sections.entries()) {
        for (let bit = 0; bit < 8 * payload.length; bit += 7) {
          const lie = replaced(sections, index, flipped(payload, bit));
          for (const read of [headerOfUnfinished, readSteps, readCheckpoint]) {
            const error = errorOf(() => read(lie));
            if (error !== undefined) expectFault(error, lie);
          }
        }
      }
    }
  });

  it('whose sections are of another kind is an ArtifactError', async () => {
    const [opening, first, second] = splitSections(log()) as [RawSection, RawSection, RawSection];
    const [header, state] = splitSections(await checkpoint()) as [RawSection, RawSection];
    for (const sections of [
      [opening, second],
      [opening, first, first],
      [opening, first, opening],
      [opening, first, state],
      [opening, { ...first, type: 'C' }],
      [first],
    ]) {
      const bytes = joinSections(sections);
      expectFault(
        errorOf(() => readSteps(bytes)),
        bytes,
      );
    }
    const pool = { type: 'H', payload: headerPayload(runOf(KINDS[2]).header) };
    for (const sections of [
      [header],
      [state],
      [pool, state],
      [header, state, state],
      [header, first],
      [opening, state],
      [state, header],
    ]) {
      const bytes = joinSections(sections);
      expectFault(
        errorOf(() => readCheckpoint(bytes)),
        bytes,
      );
    }
  });
});

test.each([
  ['nothing', new Uint8Array(0)],
  ['a PNG', Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52)],
  ['gzip', new Uint8Array(gzipSync('TERN'))],
  ['a zip', Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0)],
  ['text', text('TERNseed is not a magic number\n')],
  ['the first half of the magic number', text('TE')],
  ['zeros', new Uint8Array(1000)],
])('%s is an ArtifactError', (_, bytes) => expectRefused(bytes));

test('another version is an ArtifactError that names it and says what to do', () => {
  const sections = splitSections(runOf(KINDS[2]).bytes);
  for (const version of [0, 3, 255]) {
    expectRefused(joinSections(sections, version));
    expect(() => openArtifact(joinSections(sections, version))).toThrow(
      `expected version 1 or 2, got ${version}: use the ternseed that wrote it`,
    );
  }
});

describe('random bytes are an ArtifactError or the weights they say:', () => {
  const letters = fc.constantFrom('H', 'C', 'L', 'T', 'S', 'E');
  const sections = fc.array(fc.record({ type: letters, payload: fc.uint8Array({ maxLength: 60 }) }), {
    maxLength: 5,
  });

  it('any bytes, with and without magic number', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, magic) =>
        expectRefused(magic ? concat(text('TERN'), Uint8Array.of(2), bytes) : bytes),
      ),
      { numRuns: 1000 },
    );
  });

  it('any sections with right checksums', () => {
    fc.assert(
      fc.property(sections, (parts) => expectRefused(joinSections(parts))),
      { numRuns: 1000 },
    );
  });

  it.each(KINDS)('random bodies under the header of a $artifact of $perturb', async (kind) => {
    const run = runOf(kind);
    const [header, body, end] = splitSections(run.bytes) as [RawSection, RawSection, RawSection];
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.nat(20), async (payload, kept) => {
        const lie = concat(body.payload.subarray(0, kept), payload);
        await expectSafe(joinSections([header, { ...body, payload: lie }, end]), run.hash);
      }),
      { numRuns: 300 },
    );
  });
});

test('a fault inside a section is told with its byte in the file', async () => {
  for (const kind of KINDS) {
    const { bytes } = runOf(kind);
    const { offset, name } = openArtifact(bytes).sections[1] as { offset: number; name: string };
    const sections = splitSections(bytes);
    const { payload } = sections[1] as RawSection;
    const cut = replaced(sections, 1, payload.subarray(0, payload.length >> 1));
    const error = await openAndRebuild(cut).catch((reason) => reason);
    const { section: named, byte } = expectFault(error, cut);
    expect(named).toBe(name);
    expect(byte).toBeGreaterThanOrEqual(offset);
  }
});
