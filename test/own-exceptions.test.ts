/** Checks that an application which opens TensorFlow.js ends on its own faults as it does without. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openTensorflow } from '../src/backprop/tensorflow.js';

const BACKPROP = new URL('../dist/src/backprop/index.js', import.meta.url).href;
const EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

/** How a process ends that runs some lines after it has opened a backend, or none. */
function outcome(backend: string | null, lines: string) {
  const opening = backend === null ? '' : `await (await import('${BACKPROP}')).openTensorflow('${backend}');`;
  const { status, stderr } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', `${opening}\n${lines}`],
    { encoding: 'utf8', cwd: fileURLToPath(new URL('.', import.meta.url)) },
  );
  return { status, stderr };
}

describe.each(['wasm', 'cpu'])('after openTensorflow(%s)', (backend) => {
  it.each([
    ['an exception', "function fail() { throw new Error('of the application'); }\nsetTimeout(fail);"],
    ['a rejection', "async function fail() { throw new Error('of the application'); }\nsetTimeout(fail);"],
  ])('%s that nobody handles ends the process with code 1 and its own stack', (_, lines) => {
    const with_ = outcome(backend, lines);
    expect(with_).toEqual({
      status: 1,
      stderr: expect.stringMatching(/Error: of the application\n *at .*fail/),
    });
    expect(with_).toEqual(outcome(null, lines));
  });

  it('a listener of the application is asked, and no other', () => {
    const lines = `process.once('uncaughtException', () => console.error('handled'));
      setTimeout(() => { throw new Error('of the application'); });`;
    expect(outcome(backend, lines)).toEqual({ status: 0, stderr: 'handled\n' });
  });
});

it('no listener of the process is added or lost, of the application’s own while it opens neither', async () => {
  const own = () => {};
  const before = EVENTS.map((event) => process.rawListeners(event));
  const opening = openTensorflow('wasm');
  for (const event of EVENTS) process.on(event, own);
  await opening;
  expect(EVENTS.map((event) => process.rawListeners(event))).toEqual(before.map((list) => [...list, own]));
  for (const event of EVENTS) process.removeListener(event, own);
});
