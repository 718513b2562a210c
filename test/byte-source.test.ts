/**
 * Artifacts from sources that are read in ranges: memory, Blobs, files and URLs give the same, fetch no
 * more than they need, and a source that lies is an error and never another artifact.
 */

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it, test } from 'vitest';
import { BLOCK_STEPS } from '../src/artifact/seed-log.js';
import { encodePacked, encodeSeedLog, openArtifact } from '../src/artifact/artifact.js';
import { type ByteSource, blobSource, bytesSource } from '../src/artifact/byte-source.js';
import { fileSource } from '../src/artifact/file-source.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { rebuild, rebuildRows, rebuildTensor } from '../src/artifact/rebuild.js';
import { FIRST_BYTES, urlSource } from '../src/artifact/url-source.js';
import { weightsHash } from '../src/artifact/weights-hash.js';
import { ArtifactError, InputError } from '../src/errors.js';
import { networkOf } from '../src/ternary/builders/perceptron.js';
import { reference } from './support/backends.js';
import { cli, cliJson } from './support/cli.js';
import { type Behaviour, type FileServer, honest, serve, withoutRanges } from './support/http-server.js';
import { type TrainedRun, tinyRun } from './support/tiny-runs.js';
import { writeTinyData } from './support/tiny-data.js';

const KINDS = ['log', 'pool', 'packed'] as const;

let folder: string;
const runs = new Map<string, TrainedRun>();
const runOf = (kind: string) => runs.get(kind) as TrainedRun;
/** A log of three blocks whose steps touch little, and packed weights of some tens of kilobytes. */
let log: Uint8Array;
let packed: Uint8Array;
const servers: FileServer[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-source-'));
  for (const kind of KINDS) runs.set(kind, await tinyRun({ artifact: kind, perturb: 'weights' }, reference));
  log = await longLog(3 * BLOCK_STEPS, 60);
  packed = await largePacked();
});
afterAll(() => rm(folder, { recursive: true, force: true }));
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

async function serving(file: Uint8Array, behave?: Behaviour): Promise<FileServer> {
  const server = await serve(file, behave);
  servers.push(server);
  return server;
}

/** Trits of no meaning, the same always. */
function noise(length: number, seed: number): Int8Array {
  let state = seed;
  return Int8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state >>> 16) % 3) - 1;
  });
}

async function longLog(count: number, directions: number): Promise<Uint8Array> {
  const { header } = runOf('log');
  const steps = Array.from({ length: count }, (_, i) => ({
    ...{ seedStep: i + 1, nonzeros: 1, loss: 100 + (i % 7), coefficients: noise(directions, i) },
  }));
  const long = { ...header, directions: [directions] };
  const unhashed = openArtifact(encodeSeedLog(long, steps, { steps: count, weightsHash: '0'.repeat(64) }));
  const hash = await weightsHash(await rebuild(unhashed, reference));
  return encodeSeedLog(long, steps, { steps: count, weightsHash: hash });
}

async function largePacked(): Promise<Uint8Array> {
  const { header } = runOf('packed');
  const network = networkOf([784, 256, 10], { ...header });
  const weights = noise(network.parameters, 1);
  const outcome = { steps: 1, weightsHash: await weightsHash(weights) };
  return encodePacked({ ...header, model: '784-256-10' }, weights, outcome);
}

const OPENERS: [string, (bytes: Uint8Array) => Promise<ByteSource>][] = [
  ['bytes', async (bytes) => bytesSource(bytes)],
  ['a Blob', async (bytes) => blobSource(new Blob([bytes as Uint8Array<ArrayBuffer>]))],
  [
    'a file',
    async (bytes) => {
      await writeFile(join(folder, 'a.tern'), bytes);
      return fileSource(join(folder, 'a.tern'));
    },
  ],
  ['a URL', async (bytes) => urlSource((await serving(bytes)).url)],
  ['a URL without ranges', async (bytes) => urlSource((await serving(bytes, withoutRanges)).url)],
];

describe.each(OPENERS)('from %s', (_, open) => {
  it.each(KINDS)('a %s is what it is from memory', async (kind) => {
    const { bytes, hash } = runOf(kind);
    const source = await open(bytes);
    const distant = await openArtifactFrom(source);
    const whole = openArtifact(bytes);
    const { version, header, network, sections, steps } = whole;
    expect(distant).toMatchObject({
      ...{ kind, version, header, network, steps, weightsHash: hash, bytes: bytes.length },
      sections: sections.map(({ name, offset, bytes, start, end }) => ({ name, offset, bytes, start, end })),
    });
    const loaded = await distant.load();
    expect(await rebuild(loaded, reference)).toEqual(await rebuild(whole, reference));
    for (const { name, rows } of network.tensors) {
      expect(await distant.rebuildTensor(name)).toEqual(rebuildTensor(whole, name));
      const part = { from: 1, to: rows };
      expect(await distant.rebuildRows(name, part)).toEqual(rebuildRows(whole, name, part));
    }
    await source.close();
  });

  it('a log is the same after any step', async () => {
    const source = await open(log);
    const distant = await openArtifactFrom(source);
    const whole = openArtifact(log);
    const last = 3 * BLOCK_STEPS;
    for (const step of [
      0,
      1,
      BLOCK_STEPS - 1,
      BLOCK_STEPS,
      BLOCK_STEPS + 1,
      2 * BLOCK_STEPS,
      last - 1,
      last,
    ]) {
      const weights = await rebuild(whole, reference, step);
      expect(await rebuild(await distant.load(step), reference, step)).toEqual(weights);
      expect(await distant.rebuildTensor('layer1.weight', step)).toEqual(weights.subarray(36 * 8));
    }
    await expect(distant.rebuildTensor('layer1.weight', last + 1)).rejects.toThrow(`an integer in 0…${last}`);
    await expect(distant.rebuildTensor('layer7.weight')).rejects.toThrow('expected one of layer0.weight');
    await source.close();
  });

  it('a range outside is the caller’s fault', async () => {
    const source = await open(runOf('pool').bytes);
    for (const [offset, length] of [
      [-1, 2],
      [0, source.size + 1],
      [source.size, 1],
      [0.5, 1],
      [0, -1],
    ]) {
      await expect(source.read(offset, length)).rejects.toThrow(RangeError);
    }
    expect(await source.read(source.size, 0)).toEqual(new Uint8Array(0));
    await source.close();
  });
});

describe('over HTTP', () => {
  it('opening fetches a few kilobytes of a file, and a step of a log no more than up to its block', async () => {
    const server = await serving(log);
    const distant = await openArtifactFrom(await urlSource(server.url));
    expect(log.length).toBeGreaterThan(60_000);
    expect(server.sent).toBeLessThan(6_000);
    expect(server.requests).toBeLessThanOrEqual(5);
    const opened = server.sent;
    const [, first] = distant.sections;
    await distant.rebuildTensor('layer0.weight', BLOCK_STEPS);
    expect(server.sent - opened).toBe(first.offset + first.bytes);
  });

  it('opening packed weights fetches a few kilobytes, and a tensor or its rows the one section that they are in', async () => {
    const server = await serving(packed);
    const distant = await openArtifactFrom(await urlSource(server.url));
    expect(packed.length).toBeGreaterThan(35_000);
    expect(server.sent).toBeLessThan(6_000);
    const opened = server.sent;
    const whole = openArtifact(packed);
    expect(await distant.rebuildTensor('layer1.weight')).toEqual(rebuildTensor(whole, 'layer1.weight'));
    const [, , section] = distant.sections;
    expect(server.sent - opened).toBe(section.bytes);
    const rows = { from: 3, to: 5 };
    const tile = await distant.rebuildRows('layer1.weight', rows);
    expect(tile).toEqual(rebuildRows(whole, 'layer1.weight', rows));
    expect(server.sent - opened).toBe(2 * section.bytes);
  });

  it('a tensor of a pool needs the section of coefficients alone', async () => {
    const { bytes } = runOf('pool');
    let reads = 0;
    const memory = bytesSource(bytes);
    const distant = await openArtifactFrom({
      ...memory,
      read: (offset, length) => {
        reads += length;
        return memory.read(offset, length);
      },
    });
    reads = 0;
    await distant.rebuildTensor('layer0.weight');
    expect(reads).toBe(distant.sections[1].bytes);
  });

  it('a connection that is closed just when it is used again is opened anew', async () => {
    const server = await serving(log, (answer) => {
      if (answer.request === 2) answer.response.destroy();
      else honest(answer);
    });
    const source = await urlSource(server.url);
    expect(await source.read(FIRST_BYTES, 100)).toEqual(log.subarray(FIRST_BYTES, FIRST_BYTES + 100));
    expect(source.requests).toBe(3);
  });

  it('a server that ignores ranges sends the file once, and the source says so', async () => {
    const server = await serving(log, withoutRanges);
    const source = await urlSource(server.url);
    const distant = await openArtifactFrom(source);
    await distant.rebuildTensor('layer0.weight', 10);
    expect(source).toMatchObject({ ranged: false, requests: 1, fetchedBytes: log.length });
    expect(server.sent).toBe(log.length);
  });

  const badly = (
    change: (answer: Parameters<Behaviour>[0], first: number, last: number) => void,
  ): Behaviour => {
    return (answer) => {
      const [first, last] = answer.range as readonly [number, number];
      change(answer, first, last);
    };
  };
  const told = (range: (first: number, last: number, size: number) => string | null, more: object = {}) =>
    badly(({ file, response }, first, last) => {
      const value = range(first, last, file.length);
      response.writeHead(206, { ...(value !== null && { 'content-range': value }), ...more });
      response.end(file.subarray(first, last + 1));
    });

  it.each<[string, Behaviour, RegExp]>([
    [
      'another range than asked',
      told((a, b, n) => `bytes ${a + 1}-${b + 1}/${n}`),
      /expected bytes 0-4095, got "bytes 1-/,
    ],
    ['fewer bytes than asked', told((a, b, n) => `bytes ${a}-${b - 1}/${n}`), /expected bytes 0-4095/],
    [
      'a size that is not known',
      told((a, b) => `bytes ${a}-${b}/*`),
      /expected bytes 0-4095, got "bytes 0-\d+\/\*"/,
    ],
    ['a size of 10^18', told((a, b) => `bytes ${a}-${b}/${'9'.repeat(18)}`), /expected bytes 0-4095/],
    ['a range of no unit', told((a, b, n) => `${a}-${b}/${n}`), /expected bytes/],
    ['terminal codes', told(() => '\u009b31m'), /got "\\u\{9b\}31m"/],
    ['no Content-Range', told(() => null), /expected a Content-Range with its range, got none/],
    [
      'compressed bytes',
      told((a, b, n) => `bytes ${a}-${b}/${n}`, { 'content-encoding': 'zstd' }),
      /expected bytes as they are/,
    ],
    [
      'a body that is too long',
      badly(({ file, response }, first, last) => {
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${file.length}` });
        response.end(new Uint8Array(last - first + 2));
      }),
      /expected at most 4096 bytes, got more/,
    ],
    [
      'a body that is too short',
      badly(({ file, response }, first, last) => {
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${file.length}` });
        response.end(file.subarray(first, last));
      }),
      /expected 4096 bytes at byte 0, got 4095/,
    ],
    [
      'a body that breaks off',
      badly(({ file, response }, first, last) => {
        response.writeHead(206, {
          'content-range': `bytes ${first}-${last}/${file.length}`,
          'content-length': last + 1 - first,
        });
        response.write(file.subarray(first, last - 5), () => response.destroy());
      }),
      /expected to be readable/,
    ],
    ['status 404', ({ response }) => response.writeHead(404).end(), /got status 404 Not Found/],
    ['status 500', ({ response }) => response.writeHead(500).end(), /got status 500/],
    ['no answer', ({ response }) => response.destroy(), /expected to be readable, got fetch failed/],
  ])('a server that answers with %s is an InputError', async (_, behave, reason) => {
    const { url } = await serving(log, behave);
    const error = await urlSource(url).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(InputError);
    expect((error as Error).message).toMatch(reason);
  });

  it.each<[string, Behaviour]>([
    ['another size', (answer) => honest({ ...answer, file: answer.request > 1 ? log.subarray(0, -1) : log })],
    [
      'another version',
      ({ file, range, request, response }) => {
        const [first, last] = range as readonly [number, number];
        response.writeHead(206, {
          'content-range': `bytes ${first}-${last}/${file.length}`,
          etag: `"${request}"`,
        });
        response.end(file.subarray(first, last + 1));
      },
    ],
    ['all of it at once', (answer) => (answer.request > 1 ? withoutRanges(answer) : honest(answer))],
  ])('a file of which later requests give %s is an InputError', async (_, behave) => {
    const source = await urlSource((await serving(log, behave)).url);
    await expect(source.read(FIRST_BYTES, 10)).rejects.toThrow('it was changed while it was read');
    await expect(openArtifactFrom(source)).rejects.toThrow(InputError);
  });

  it('an empty file and a server that is not there are InputErrors', async () => {
    await expect(urlSource((await serving(new Uint8Array(0))).url)).rejects.toThrow('an empty file');
    const empty = await urlSource((await serving(new Uint8Array(0), withoutRanges)).url);
    await expect(openArtifactFrom(empty)).rejects.toThrow(ArtifactError);
    const gone = await serve(log);
    await gone.close();
    await expect(urlSource(gone.url)).rejects.toThrow(
      /expected to be readable, got fetch failed.*ECONNREFUSED/,
    );
  });
});

test('a file that is cut while it is open is an InputError, and so is what is no file', async () => {
  const path = join(folder, 'cut.tern');
  await writeFile(path, log);
  const source = await fileSource(path);
  await truncate(path, 5000);
  await expect(source.read(4900, 200)).rejects.toThrow('expected 200 bytes at byte 4900, got 100');
  await source.close();
  await expect(fileSource(folder)).rejects.toThrow('expected a file, got something else');
  await expect(fileSource(join(folder, 'none'))).rejects.toThrow('got ENOENT');
});

describe('a damaged artifact from a source', () => {
  const outcomeOf = async (open: () => Promise<unknown>) => {
    try {
      await open();
      return 'opened';
    } catch (error) {
      expect(error).toBeInstanceOf(ArtifactError);
      return 'refused';
    }
  };

  it.each(KINDS)('of a %s, cut anywhere, is an ArtifactError', async (kind) => {
    const { bytes } = runOf(kind);
    for (let length = 0; length < bytes.length; length++) {
      const source = bytesSource(bytes.subarray(0, length));
      expect(await outcomeOf(() => openArtifactFrom(source)), String(length)).toBe('refused');
    }
  });

  it.each(KINDS)('of a %s, with any bytes changed, loads only where opening it whole does', async (kind) => {
    const { bytes } = runOf(kind);
    const change = fc.record({ at: fc.nat(bytes.length - 1), to: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const changed = bytes.slice();
        for (const { at, to } of changes) changed[at] = to;
        const whole = await outcomeOf(async () => openArtifact(changed));
        const loaded = await outcomeOf(async () => (await openArtifactFrom(bytesSource(changed))).load());
        expect(loaded).toBe(whole);
      }),
      { numRuns: 300 },
    );
  });

  it('whose fetched blocks are damaged is refused when they are fetched', async () => {
    const damaged = log.slice();
    damaged[damaged.length >> 3] ^= 1;
    const distant = await openArtifactFrom(bytesSource(damaged));
    await expect(distant.load(10)).rejects.toThrow(/log at byte \d+: the checksum does not match/);
    const later = log.slice();
    later[later.length >> 1] ^= 1;
    const sound = await openArtifactFrom(bytesSource(later));
    expect((await sound.load(10)).steps).toBe(BLOCK_STEPS);
    await expect(sound.load(BLOCK_STEPS + 10)).rejects.toThrow(ArtifactError);
  });
});

describe('the command line takes URLs:', () => {
  it('inspect, verify, replay and eval give what they give of a file', async () => {
    const data = join(folder, 'tiny');
    await writeTinyData(data);
    const file = join(folder, 'log.tern');
    const { bytes, hash } = runOf('log');
    await writeFile(file, bytes);
    const { url } = await serving(bytes);
    const { fetched, ...inspected } = await cliJson(['inspect', url]);
    expect(inspected).toEqual(await cliJson(['inspect', file]));
    expect(fetched).toMatchObject({ ranged: true });
    expect(await cliJson(['verify', url])).toMatchObject({ ok: true, weightsHash: hash });
    const { weightsHash } = await cliJson(['replay', file, '--step', '5']);
    expect(await cliJson(['replay', url, '--step', '5'])).toMatchObject({ weightsHash });
    expect(await cliJson(['eval', url, '--data', data])).toMatchObject({ weightsHash: hash });
  });

  it('inspect of a large file fetches little, and says what', async () => {
    const server = await serving(log);
    const { stdout, stderr } = await cli(['inspect', server.url]);
    expect(stdout, stderr).toMatch(/fetched .*4,\d{3} bytes in \d requests; the body and its checksums/);
    expect(server.sent).toBeLessThan(6_000);
    const plain = await serving(log, withoutRanges);
    expect((await cli(['inspect', plain.url])).stdout).toContain('the server ignores range requests');
  });

  it('a URL that cannot be read is exit code 3', async () => {
    const { url } = await serving(log, ({ response }) => response.writeHead(404).end());
    const { code, stdout, stderr } = await cli(['verify', url]);
    expect(stderr).toContain('got status 404');
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
  });
});
