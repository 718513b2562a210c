/** Checks that headers that lie are an ArtifactError and nothing else, told with section and byte. */

import { deflateRawSync } from 'node:zlib';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import {
  ALLOCATION_MAX,
  errorOf,
  expectRefused,
  expectSafe,
  KINDS,
  largestAllocation,
  REFUSED,
  replaced,
  runOf,
  trainAll,
} from './support/hostile.js';
import { concat, headerPayload, leb128, splitSections, text } from './support/sections.js';

beforeAll(trainAll);
afterEach(() => vi.unstubAllGlobals());

describe('a header', () => {
  const withPayload = (payload: Uint8Array, kind: (typeof KINDS)[number] = KINDS[2]) =>
    replaced(splitSections(runOf(kind).bytes), 0, payload);
  const withJson = (json: unknown, kind?: (typeof KINDS)[number]) => withPayload(headerPayload(json), kind);

  it('written without the dictionary is accepted, so that the cases below fail for their own reason', () => {
    for (const kind of KINDS)
      expect(openArtifact(withJson(runOf(kind).header, kind)).kind).toBe(kind.artifact);
  });

  it('with a key missing or of another type is an ArtifactError that names the key', () => {
    const { header } = runOf(KINDS[2]);
    const values = [
      null,
      true,
      0,
      -1,
      1.5,
      1e99,
      2 ** 40,
      '',
      'x',
      'x'.repeat(1000),
      [],
      [0],
      [1.5],
      ['1'],
      {},
    ];
    for (const key of Object.keys(header) as (keyof typeof header)[]) {
      const { [key]: good, ...rest } = header;
      expect(() => openArtifact(withJson(rest))).toThrow(`"${key}"`);
      for (const value of values.filter((other) => typeof other !== typeof good)) {
        expectRefused(withJson({ ...header, [key]: value }));
      }
    }
    for (const value of values) expectRefused(withJson(value));
  });

  it.each(['extra', 'Kind', 'constructor', 'toString', '__proto__'])(
    'with the unknown key "%s" is an ArtifactError',
    (key) => {
      const json = JSON.stringify(runOf(KINDS[2]).header);
      expectRefused(withJson(json.replace('{', `{"${key}":1,`)));
    },
  );

  it.each([
    ['no directions', []],
    ['fewer sets than tensors', [37]],
    ['negative directions', [-1, 11]],
    ['too many sets', [37, 11, 1]],
    ['more directions than weights', [289, 11]],
    ['2^24 directions', [2 ** 24, 2 ** 24]],
    ['directions above every limit', [2 ** 53, 1]],
    ['20,000 sets', Array(20_000).fill(1)],
  ])('with %s is an ArtifactError, when opened or when replayed', async (_, directions) => {
    for (const kind of KINDS.slice(1)) {
      if (kind.artifact === 'packed' && directions.length === 0) continue;
      const bytes = withJson({ ...runOf(kind).header, directions }, kind);
      expect(await expectSafe(bytes, '')).toBe(REFUSED);
    }
  });

  it.each([
    '',
    '36',
    '36-',
    '-36-4',
    '36--4',
    '036-4',
    '36-0-4',
    '3.6-4',
    '36-8-1',
    '36-8-257',
    '65536-4',
    '36-65535-65535-4',
    '999999-999999',
    '36-8-4 ',
    '36\n-8-4',
    '３６-8-4',
    Array(66).fill(4).join('-'),
    Array(2000).fill(4).join('-'),
  ])('with the model "%s" is an ArtifactError', (model) => {
    const bytes = withJson({ ...runOf(KINDS[3]).header, logitScale: 1, model }, KINDS[3]);
    expectRefused(bytes);
    expect(() => openArtifact(bytes)).toThrow('"model"');
  });

  it.each([
    { gain: 0 },
    { gain: 128 },
    { logitScale: 0 },
    { logitScale: 2 ** 28 },
    { cut: 43 },
    { key: 'G'.repeat(16) },
    { key: '0'.repeat(17) },
  ])('with %o is an ArtifactError', (change) =>
    expectRefused(withJson({ ...runOf(KINDS[2]).header, ...change })),
  );

  it('of another arithmetic is refused by both numbers, whatever else is unknown in it', () => {
    const newer = { ...runOf(KINDS[2]).header, arithmetic: 2, model: { depth: 7 }, fused: true };
    for (const kind of KINDS) {
      expect(() => openArtifact(withJson({ ...newer, kind: kind.artifact }, kind))).toThrow(
        /^header at byte \d+: expected arithmetic 1, got 2: it was written by a newer version/,
      );
    }
  });

  it.each([0, 1, -2, 1.5, 2 ** 53, '2', null, [2]])(
    'of the arithmetic %j is an ArtifactError',
    (arithmetic) => {
      const bytes = withJson({ ...runOf(KINDS[2]).header, arithmetic });
      expectRefused(bytes);
      expect(() => openArtifact(bytes)).toThrow(
        'expected "arithmetic" to be an integer above 1, or left out',
      );
    },
  );

  it('whose words would reach a terminal is told of with its control characters escaped', () => {
    for (const model of ['\u001b[31m', '\u202e10-4', '4-\u0007']) {
      const bytes = withJson({ ...runOf(KINDS[2]).header, model });
      expect(() => openArtifact(bytes)).toThrow(/^header at byte 8: "model" expected layer widths .*\\u\{/);
    }
  });

  it('of another kind than the body is an ArtifactError', () => {
    for (const kind of KINDS) {
      const { header } = runOf(kind);
      for (const other of ['log', 'pool', 'packed', 'checkpoint'].filter((one) => one !== kind.artifact)) {
        expectRefused(withJson({ ...header, kind: other }, kind));
        const directions = other === 'packed' ? [] : runOf(KINDS[2]).header.directions;
        expectRefused(withJson({ ...header, kind: other, directions }, kind));
      }
    }
  });

  it('that unpacks to another length than it says, or to no JSON, is an ArtifactError', () => {
    const json = JSON.stringify(runOf(KINDS[2]).header);
    for (const length of [0, json.length - 1, json.length + 1, 65_536, 65_537, 2 ** 32 - 1]) {
      expectRefused(withPayload(headerPayload(json, length)));
    }
    for (const other of ['', ' ', '{', `${json}}`, `${json}\0`, json.replace('"', "'"), 'NaN', '\u{feff}']) {
      expectRefused(withJson(other));
    }
    const notUtf8 = text(json.replace('"name":"tiny"', '"name":"tin?"'));
    notUtf8[notUtf8.indexOf('?'.charCodeAt(0))] = 0xff;
    expectRefused(withPayload(concat(leb128(notUtf8.length), new Uint8Array(deflateRawSync(notUtf8)))));
  });

  it('that is a deflate bomb is an ArtifactError, and finds no room to unpack to', () => {
    const bomb = new Uint8Array(deflateRawSync(new Uint8Array(2 ** 26)));
    const allocated = largestAllocation(() => {
      for (const length of [0, 100, 65_536]) expectRefused(withPayload(concat(leb128(length), bomb)));
    });
    expect(allocated).toBeLessThan(2 ** 20);
  });

  it('of more bytes than its JSON can take is an ArtifactError before it is unpacked', () => {
    const zeros = new Uint8Array(deflateRawSync(new Uint8Array(2 ** 27)));
    expect(() => openArtifact(withPayload(concat(leb128(65_536), zeros)))).toThrow(
      `bytes of deflated JSON, got ${zeros.length}`,
    );
  });

  it('whose JSON is padded to megabytes is an ArtifactError', () => {
    const spaces = `${' '.repeat(2 ** 22)}${JSON.stringify(runOf(KINDS[2]).header)}`;
    for (const length of [0, 65_536, spaces.length])
      expectRefused(withPayload(headerPayload(spaces, length)));
  });

  it('whose JSON is nested deeply is an ArtifactError', () => {
    const json = JSON.stringify({ ...runOf(KINDS[2]).header, config: { deep: 0 } });
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const depth = Math.floor(60_000 / (open.length + close.length));
      const nested = `${open.repeat(depth)}0${close.repeat(depth)}`;
      expectRefused(withJson(json.replace('"deep":0', `"deep":${nested}`)));
      expectRefused(withJson(nested));
    }
  });

  it.each(KINDS)('of a $artifact of $perturb with the largest model asks for no large array', (kind) => {
    const model = Array.from({ length: 65 }, (_, i) => (i % 2 === 0 ? 64 : 65_535)).join('-');
    const directions = kind.artifact === 'packed' ? [] : Array(64).fill(64 * 65_535);
    const bytes = withJson({ ...runOf(kind).header, model, directions, logitScale: 1 }, kind);
    expect(largestAllocation(() => errorOf(() => openArtifact(bytes)))).toBeLessThanOrEqual(ALLOCATION_MAX);
  });
});
