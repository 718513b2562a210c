/** Room and work are bounded by a file's length, by every way in, whatever the file declares. */

import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { openArtifact } from '../src/artifact/artifact.js';
import { type ByteSource, bytesSource } from '../src/artifact/byte-source.js';
import { PREAMBLE_BYTES, SECTIONS_MAX } from '../src/artifact/container.js';
import { openArtifactFrom } from '../src/artifact/open-from.js';
import { rebuild, rebuildTensor } from '../src/artifact/rebuild.js';
import { encodeLogBlock, type LogStep } from '../src/artifact/seed-log.js';
import { readUnfinishedLog } from '../src/artifact/unfinished-log.js';
import { readBody } from '../src/artifact/url-request.js';
import { urlSource } from '../src/artifact/url-source.js';
import { ReferenceBackend } from '../src/backend/reference/reference.js';
import { ArtifactError, InputError } from '../src/errors.js';
import { importSafetensors } from '../src/exchange/import-safetensors.js';
import { serve } from './support/http-server.js';
import { rawSafetensors } from './support/safetensors-files.js';
import { concat, headerPayload, joinSections, leb128, type RawSection } from './support/sections.js';

const header = (model: string, directions: readonly number[]) => ({
  ...{ kind: 'log' as const, model, centred: true, gain: 40, logitScale: 1, key: '0123456789abcdef', cut: 1 },
  ...{ directions, config: {}, data: { name: 'none', hash: '' } },
});
const end = (steps: number): RawSection => ({
  type: 'E',
  payload: concat(leb128(steps), new Uint8Array(32)),
});
const block = (first: number, count: number, coded: Uint8Array): RawSection => ({
  type: 'L',
  payload: concat(leb128(first), leb128(count), leb128(first), coded),
});

async function messageOf(open: () => unknown): Promise<string> {
  const error = await Promise.resolve()
    .then(open)
    .catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ArtifactError);
  return (error as Error).message;
}

it('a file of more sections than a list of them has room for is refused, whole and in ranges', async () => {
  const empty: RawSection = { type: 'L', payload: Uint8Array.of(0) };
  const head: RawSection = { type: 'H', payload: headerPayload(header('4-2', [1])) };
  const blocks = Array.from({ length: SECTIONS_MAX - 2 }, (_, i) => block(i + 1, 1, new Uint8Array(0)));
  const most = joinSections([head, ...blocks, end(SECTIONS_MAX - 2)]);
  expect(openArtifact(most).sections.length).toBe(SECTIONS_MAX);
  expect((await openArtifactFrom(bytesSource(most))).sections.length).toBe(SECTIONS_MAX);
  const more = joinSections([head, ...blocks, empty, end(SECTIONS_MAX - 1)]);
  const refused = /^section at byte \d+: expected at most 65536 sections/;
  expect(await messageOf(() => openArtifact(more))).toMatch(refused);
  expect(await messageOf(() => openArtifactFrom(bytesSource(more)))).toMatch(/at byte \d+: expected/);
});

it('the first blocks of a log are worth their own bytes, not those that follow', async () => {
  const sections = [
    { type: 'H', payload: headerPayload(header('64-64', [4096])) },
    block(1, 2000, new Uint8Array(10)),
    block(2001, 1, new Uint8Array(8192)),
    end(2001),
  ];
  const distant = await openArtifactFrom(bytesSource(joinSections(sections)));
  expect(await messageOf(() => distant.load(1))).toMatch(/header at byte 5: expected at most \d+ values/);
  const short = joinSections([...sections.slice(0, 2), end(2000)]);
  expect(await messageOf(() => openArtifactFrom(bytesSource(short)))).toBe(
    await messageOf(() => openArtifact(short)),
  );
});

it('a fault in the end of an artifact is told with the same byte, whole and in ranges', async () => {
  const head: RawSection = { type: 'H', payload: headerPayload(header('4-2', [1])) };
  const lie = joinSections([head, block(1, 1, new Uint8Array(0)), end(10_000_001)]);
  expect(await messageOf(() => openArtifactFrom(bytesSource(lie)))).toBe(
    await messageOf(() => openArtifact(lie)),
  );
});

it('a source that gives other blocks than their heads said is refused', async () => {
  const head: RawSection = { type: 'H', payload: headerPayload(header('4-2', [1])) };
  const [one, two, three] = [1, 2, 3].map((first) => block(first, 1, new Uint8Array(0)));
  const right = joinSections([head, one, two, three, end(3)]);
  const other = joinSections([head, one, { ...two, type: 'T' }, three, end(3)]);
  let file = right;
  const source: ByteSource = { ...bytesSource(right), read: async (at, n) => file.subarray(at, at + n) };
  const distant = await openArtifactFrom(source);
  file = other;
  expect(await messageOf(() => distant.load(2))).toMatch(/^trits at byte \d+: expected a log section/);
});

it('a step of a log needs no block after its own', async () => {
  const four = header('4-2', [1]);
  const step: LogStep = { seedStep: 1, nonzeros: 1, loss: 0, coefficients: Int8Array.of(1) };
  const head = joinSections([{ type: 'H', payload: headerPayload(four) }]);
  const [second, last] = [block(2, 1, Uint8Array.of(255, 255)), end(2)].map((one) =>
    joinSections([one]).subarray(PREAMBLE_BYTES),
  );
  const log = openArtifact(concat(head, encodeLogBlock(four, 1, [step]), second, last));
  expect(rebuildTensor(log, 'layer0.weight', 1)).toHaveLength(8);
  expect(await messageOf(() => rebuildTensor(log, 'layer0.weight', 2))).toMatch(/^log at byte \d+: expected/);
});

it('an unfinished log of a wide model takes time for its steps, not for its columns', () => {
  const wide = header(Array.from({ length: 16 }, () => '65535-64').join('-'), [1]);
  const step: LogStep = { seedStep: 1, nonzeros: 1, loss: 0, coefficients: Int8Array.of(1) };
  const blocks = Array.from({ length: 1500 }, (_, i) =>
    encodeLogBlock(wide, i + 1, [{ ...step, seedStep: i + 1 }]),
  );
  const bytes = concat(joinSections([{ type: 'H', payload: headerPayload(wide) }]), ...blocks);
  const begun = process.cpuUsage();
  expect(Array.from(readUnfinishedLog(bytes).replaySteps()).length).toBe(1500);
  const { user, system } = process.cpuUsage(begun);
  expect((user + system) / 1e6).toBeLessThan(1.5); // with tables made anew for each block: ten seconds
});

it('a safetensors export that declares more weights than it has bytes makes no room for them', async () => {
  const model = [...Array<string>(15).fill('2048-2048'), '2'].join('-');
  const entries = model
    .split('-')
    .slice(1)
    .map((_, layer) => [
      `layer${layer}.weight`,
      { dtype: 'U8', shape: [1], data_offsets: [layer, layer + 1] },
    ]);
  const metadata = {
    ...{ form: 'ternseed-u8', model, centred: 'true', gain: '40', logitScale: '1', config: '{}' },
    ...{ precision: Array(entries.length).fill('ternary').join(), key: '0'.repeat(16), cut: '0' },
    ...{ steps: '1', dataName: '', dataHash: '', weightsHash: '' },
  };
  const file = rawSafetensors(
    { __metadata__: metadata, ...Object.fromEntries(entries) },
    new Uint8Array(entries.length),
  );
  const before = process.memoryUsage().arrayBuffers;
  await expect(importSafetensors(file)).rejects.toThrow('expected U8 [838861], got U8 [1]');
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
});

it('a server’s file is refused where it is larger than can be read whole, and a body where it goes on', async () => {
  const server = await serve(new Uint8Array(10), ({ response }) => {
    response.writeHead(206, { 'content-range': `bytes 0-4095/${2 ** 40}` }).end(new Uint8Array(4096));
  });
  await expect(urlSource(server.url)).rejects.toThrow(InputError);
  await expect(urlSource(server.url)).rejects.toThrow('expected at most 1073741824 bytes, got 1099511627776');
  await server.close();
  let sent = 0;
  const endless = new ReadableStream<Uint8Array>({
    pull(controller) {
      sent += 100;
      controller.enqueue(new Uint8Array(100));
    },
  });
  expect(await readBody(new Response(endless), 1000)).toBeNull();
  expect(sent).toBeLessThan(2000);
  expect(await readBody(new Response(new Uint8Array(1000)), 1000)).toHaveLength(1000);
});

it.each(['log', 'pool', 'packed'])(
  'a delta, %s, on a base of another size is refused, also for one tensor',
  async (kind) => {
    const bytes = await readFile(new URL(`vectors/v2/delta-${kind}.tern`, import.meta.url));
    const artifact = openArtifact(new Uint8Array(bytes));
    const { parameters, tensors } = artifact.network;
    const refused = `expected a base of ${parameters} weights, got ${parameters - 1}`;
    const base = new Int8Array(parameters - 1);
    const { steps } = artifact;
    expect(await messageOf(() => rebuildTensor(artifact, tensors[0].name, steps, base))).toContain(refused);
    expect(await messageOf(() => rebuild(artifact, new ReferenceBackend(), steps, base))).toContain(refused);
    const distant = await openArtifactFrom(bytesSource(new Uint8Array(bytes)));
    expect(await messageOf(() => distant.rebuildTensor(tensors[0].name, steps, base))).toContain(
      'expected a base',
    );
    const right = new Int8Array(parameters);
    const whole = rebuildTensor(artifact, tensors[1].name, steps, right);
    expect(await distant.rebuildTensor(tensors[1].name, steps, right)).toEqual(whole);
  },
);
