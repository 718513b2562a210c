/** Reading is bounded: requests of a file far away, silence of its server, and the bytes of whatever a path names. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ByteSource, bytesSource } from '../src/artifact/byte-source.js';
import { fileSource } from '../src/artifact/file-source.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { openUrl } from '../src/artifact/open-url.js';
import { urlSource } from '../src/artifact/url-source.js';
import { readBounded } from '../src/data/bounded-file.js';
import { loadText } from '../src/data/text.js';
import { ArtifactError, ConfigError, InputError } from '../src/errors.js';
import { cli } from './support/cli.js';
import { type Behaviour, honest, serve } from './support/http-server.js';
import { concat, headerPayload, joinSections, leb128, type RawSection } from './support/sections.js';

const header = (kind: string, directions: readonly number[]): RawSection => ({
  type: 'H',
  payload: headerPayload({
    ...{ kind, model: '4-2', centred: true, gain: 40, logitScale: 1, key: '0123456789abcdef', cut: 1 },
    ...{ directions, config: {}, data: { name: 'none', hash: '' } },
  }),
});
const end = (steps: number): RawSection => ({
  type: 'E',
  payload: concat(leb128(steps), new Uint8Array(32)),
});
const log = (blocks: number, bytes: number): Uint8Array =>
  joinSections([
    header('log', [1]),
    ...Array.from({ length: blocks }, (_, i) => ({
      type: 'L',
      payload: concat(leb128(i + 1), leb128(1), leb128(i + 1), new Uint8Array(bytes)),
    })),
    end(blocks),
  ]);

/** Bytes in memory that count how often they are asked for. */
function counting(bytes: Uint8Array): ByteSource & { reads: number; bytes: number } {
  const source = bytesSource(bytes);
  const counted = {
    ...source,
    ...{ reads: 0, bytes: 0 },
    read: (offset: number, length: number) => {
      counted.reads += 1;
      counted.bytes += length;
      return source.read(offset, length);
    },
  };
  return counted;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ternseed-reading-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('opening a file far away', () => {
  it('of many blocks takes few requests', async () => {
    const server = await serve(log(4000, 700));
    const source = await urlSource(server.url);
    expect((await openArtifactFrom(source)).sections.length).toBe(4002);
    expect(source.requests).toBeLessThan(180); // 4,001 with one a block
    await server.close();
  });

  it.each([20, 300])('of the most blocks, of %i bytes more each, takes 288 reads at most', async (bytes) => {
    const source = counting(log(65_534, bytes));
    expect((await openArtifactFrom(source)).sections.length).toBe(65_536);
    expect(source.reads).toBeLessThan(288);
  });

  it('of few sections fetches little of them', async () => {
    const source = counting(log(20, 100_000));
    await openArtifactFrom(source);
    expect(source.reads).toBeLessThan(25);
    expect(source.bytes).toBeLessThan(12_000);
  });

  it('that has more sections than its kind is refused by the first too many', async () => {
    const stray = { type: 'T', payload: new Uint8Array(300) };
    const source = counting(
      joinSections([header('packed', []), ...Array<RawSection>(20_000).fill(stray), end(1)]),
    );
    await expect(openArtifactFrom(source)).rejects.toThrow(
      /^trits at byte \d+: expected the body of a packed/,
    );
    expect(source.reads).toBeLessThan(4);
  });
});

describe('a server', () => {
  const silent: Behaviour = () => {};
  /** Sends half of what was asked for, and nothing more. */
  const half: Behaviour = ({ file, range, response }) => {
    const headers = range
      ? { 'content-range': `bytes ${range[0]}-${range[1]}/${file.length}`, etag: '"1"' }
      : { 'content-length': file.length };
    response.writeHead(range ? 206 : 200, headers).write(file.subarray(0, 50));
  };

  it.each([
    ['that does not answer', silent],
    ['that stops amid its answer', half],
  ])('%s is given up after the time that the caller says', async (_, behave) => {
    const server = await serve(log(20, 20), behave);
    const stalled = `"${server.url}" expected bytes, got nothing for 0.2 s ("stallMs")`;
    const errors = await Promise.all([
      openUrl(server.url, { stallMs: 200 }).catch((error) => error),
      urlSource(server.url, { stallMs: 200 }).catch((error) => error),
    ]);
    for (const error of errors) {
      expect(error).toBeInstanceOf(InputError);
      expect(error.message).toBe(stalled);
    }
    await server.close();
  });

  it('is given up when the caller says so, with the caller’s reason', async () => {
    const server = await serve(log(20, 20), half);
    for (const fetched of [openUrl, urlSource]) {
      const enough = new AbortController();
      const error = fetched(server.url, { signal: enough.signal }).catch((reason) => reason);
      enough.abort(new RangeError('enough'));
      expect(await error).toEqual(new RangeError('enough'));
    }
    await server.close();
  });

  it('that answers is read with progress; a time that is none is refused', async () => {
    const file = log(300, 20);
    const server = await serve(file, honest);
    const told: [number, number][] = [];
    const onProgress = (done: number, total: number) => told.push([done, total]);
    await openUrl(server.url, { onProgress }).catch((error) => expect(error).toBeInstanceOf(ArtifactError));
    expect(told.at(-1)).toEqual([file.length, file.length]);
    for (const stallMs of [0, -1, Number.NaN, 2 ** 31]) {
      await expect(openUrl(server.url, { stallMs })).rejects.toThrow(ConfigError);
      await expect(urlSource(server.url, { stallMs })).rejects.toThrow('"stallMs" expected milliseconds');
    }
    await server.close();
  });
});

describe('a path', () => {
  const large = () => join(folder, 'large');
  beforeAll(async () => {
    const file = await open(large(), 'w');
    await file.truncate(2 ** 30 + 1); // a hole: it takes no room
    await file.close();
  });

  it('of more bytes than can be read whole is refused before it is read', async () => {
    const refused = 'expected at most 1073741824 bytes, got 1073741825';
    const before = process.memoryUsage().arrayBuffers;
    await expect(loadText(large())).rejects.toThrow(refused);
    await expect(fileSource(large())).rejects.toThrow(refused);
    for (const args of [
      ['inspect', large()],
      ['eval', large(), '--data', 'mnist'],
    ]) {
      const { code, stderr } = await cli(args);
      expect(stderr).toContain(refused);
      expect(code).toBe(3);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 20);
  });

  it.skipIf(process.platform === 'win32')(
    'of a device is refused; a pipe is read to its end or its limit',
    async () => {
      const { code, stderr } = await cli(['inspect', '/dev/zero']);
      expect(stderr).toContain('"/dev/zero" expected a file or a pipe, got a device');
      expect(code).toBe(3);
      await expect(loadText('/dev/zero')).rejects.toThrow('got a device');
      await once(spawn('mkfifo', [join(folder, 'pipe')]), 'close');
      const write = (bytes: number) =>
        writeFile(join(folder, 'pipe'), new Uint8Array(bytes).fill(7)).catch(() => {});
      let [reading, writing] = [readBounded(join(folder, 'pipe'), 100_000), write(100_000)];
      expect(await reading).toEqual(new Uint8Array(100_000).fill(7));
      await writing;
      [reading, writing] = [readBounded(join(folder, 'pipe'), 100_000), write(100_001)];
      await expect(reading).rejects.toThrow('expected at most 100000 bytes, got more');
      await writing;
    },
  );
});
