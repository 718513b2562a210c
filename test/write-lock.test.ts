/** Checks that a file has one writer at a time, and that a dead one does not stand in the way. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Destination } from '../cli/destination.js';
import { lockPath, WriteLock } from '../cli/write-lock.js';
import { ConfigError, InputError } from '../src/errors.js';
import { cli, startCli } from './support/cli.js';
import { writeTinyData } from './support/tiny-data.js';
import { tinyOptions } from './support/tiny-runs.js';

let root: string;
let data: string;
let out: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'ternseed-lock-'));
  data = join(root, 'tiny');
  await writeTinyData(data);
});
beforeEach(async () => {
  out = join(await mkdtemp(join(root, 'run-')), 'a.tern');
});
afterAll(() => rm(root, { recursive: true }));

describe('the lock of a file', () => {
  const lockOf = (changes: object) =>
    writeFile(lockPath(out), JSON.stringify({ pid: 1, host: hostname(), born: '', since: 'x', ...changes }));

  it('has one holder, and goes when it is given back', async () => {
    const write = async () => Destination.open(out, {}, []).write([Uint8Array.of(1)]);
    const lock = WriteLock.take(out);
    expect(() => WriteLock.take(out)).toThrow(ConfigError);
    expect(() => WriteLock.take(out)).toThrow(`a.tern" is being written by process ${process.pid} since 2`);
    await expect(write()).rejects.toThrow(ConfigError);
    lock.release();
    lock.release();
    expect(existsSync(lockPath(out))).toBe(false);
    await write();
    expect(existsSync(lockPath(out))).toBe(false);
  });

  it('of a process that is dead, or whose number another has now, is taken over', async () => {
    for (const dead of [{ pid: 2 ** 30 }, { pid: process.pid, born: 'before' }]) {
      await lockOf(dead);
      WriteLock.take(out).release();
      expect(await readdir(join(out, '..'))).toEqual([]);
    }
  });

  it.skipIf(process.platform !== 'linux')(
    'of a killed process that nobody has reaped is taken over',
    async () => {
      // The shell becomes a program that never asks how its children ended.
      const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600']);
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const pid = Number(line.toString());
      const fields = async () => (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1].split(' ');
      const born = (await fields())[19];
      await lockOf({ pid, born });
      expect(() => WriteLock.take(out)).toThrow(`is being written by process ${pid}`);
      while (!(await readFile(`/proc/${parent.pid}/comm`, 'utf8')).startsWith('sleep')) await sleep(5);
      process.kill(pid, 'SIGKILL');
      while ((await fields())[0] !== 'Z') await sleep(5);
      WriteLock.take(out).release();
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    },
  );

  it('is not taken for one of another program that has the name', async () => {
    await writeFile(lockPath(out), '# yarn lockfile v1\n');
    expect(() => WriteLock.take(out)).toThrow(InputError);
    await rm(lockPath(out));
    await symlink('nowhere', lockPath(out));
    expect(() => WriteLock.take(out)).toThrow('expected a lock of ternseed, got something else');
  });

  it('of a process on another machine is left, with what to do', async () => {
    await lockOf({ host: 'elsewhere\u0007' });
    expect(() => WriteLock.take(out)).toThrow(
      /by process 1 on elsewhere\\u\{7\} .*delete ".*\.lock" if it is dead/,
    );
    expect(existsSync(lockPath(out))).toBe(true);
  });

  it('that names nobody is waited for, and taken over when nobody writes it', async () => {
    await writeFile(lockPath(out), '{"pid":');
    const begun = performance.now();
    WriteLock.take(out).release();
    expect(performance.now() - begun).toBeGreaterThan(1000);
  });

  it('that is just being written is waited for, and then names its process', async () => {
    await writeFile(lockPath(out), '');
    const holder = JSON.stringify({ pid: 1, host: 'elsewhere', born: '', since: 'x' });
    const begun = new Int32Array(new SharedArrayBuffer(4));
    const write = `
      const { file, text, begun } = require('worker_threads').workerData;
      Atomics.wait(begun, 0, 0);
      Atomics.wait(begun, 0, 1, 100);
      require('fs').writeFileSync(file, text);`;
    const workerData = { file: lockPath(out), text: holder, begun };
    const writer = new Worker(write, { eval: true, workerData });
    await once(writer, 'online');
    Atomics.store(begun, 0, 1);
    Atomics.notify(begun, 0);
    expect(() => WriteLock.take(out)).toThrow('is being written by process 1 on elsewhere');
    await once(writer, 'exit');
  });
});

describe('two processes that train the same file', () => {
  const settings = [...tinyOptions, '--artifact', 'log', '--steps', '6000', '--threads', '1'];

  it('begun at once: one is refused, the other ends as if it had been alone', async () => {
    const begin = (file: string) => cli(['train', 'idx', '--data', data, ...settings, '--out', file]);
    const [one, other] = await Promise.all([begin(out), begin(out)]);
    const codes = [one.code, other.code].sort();
    expect(codes, `${one.stderr}\n${other.stderr}`).toEqual([0, 2]);
    expect(one.code === 2 ? one.stderr : other.stderr).toMatch(/is being written by process \d+ since/);
    const alone = join(out, '..', 'alone.tern');
    expect((await begin(alone)).code).toBe(0);
    expect(await readFile(out)).toEqual(await readFile(alone));
    expect((await readdir(join(out, '..'))).sort()).toEqual(['a.tern', 'alone.tern']);
  });

  it('resumed at once after a kill: one takes the lock over, the other is refused', async () => {
    const begun = startCli(['train', 'idx', '--data', data, ...settings, '--out', out]);
    await begun.shown(' steps of ');
    begun.child.kill('SIGKILL');
    expect((await begun.ended).signal).toBe('SIGKILL');
    expect(existsSync(lockPath(out))).toBe(true);
    const resume = () => cli(['train', 'idx', '--data', data, '--resume', out]);
    const ended = await Promise.all([resume(), resume(), resume()]);
    const told = ended.map(({ stderr }) => stderr).join('\n');
    // One that comes when the first has ended finds nothing to go on with.
    const refused = /is being written by process \d+ since|\.partial" .* no such file or folder/;
    expect(ended.filter(({ code }) => code === 0).length, told).toBe(1);
    expect(ended.filter(({ code, stderr }) => code !== 0 && refused.test(stderr)).length, told).toBe(2);
    expect(await readdir(join(out, '..'))).toEqual(['a.tern']);
  });

  it('is refused to export, too', async () => {
    const made = join(out, '..', 'made.tern');
    expect((await cli(['train', 'idx', '--data', data, ...tinyOptions, '--out', made])).code).toBe(0);
    const run = startCli(['train', 'idx', '--data', data, ...settings, '--steps', '200000', '--out', out]);
    await run.shown(' steps of ');
    const { code, stderr } = await cli(['export', made, '--to', 'packed', '--out', out]);
    expect(stderr).toContain(`is being written by process ${run.child.pid} since`);
    expect(code).toBe(2);
    run.child.kill('SIGKILL');
    await run.ended;
  });
});
