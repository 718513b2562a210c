/** Checks where verbs write and from where they read: links, modes, pipes, devices, standard input and output. */

import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ofExamples } from '../cli/noise-step.js';
import { Run } from '../cli/run.js';
import { loadIdxDirectory } from '../src/data/dataset.js';
import { cli, cliJson, MAIN, startCli } from './support/cli.js';
import { at, data, folder, made, makeArtifacts, STEPS, train } from './support/cli-artifacts.js';
import { reference } from './support/backends.js';
import { trainFloatMlp } from './support/float-mlp.js';
import { torchLike } from './support/safetensors-files.js';
import { tinyTrainingSet } from './support/tiny-data.js';
import { tinyConfig, tinyOptions } from './support/tiny-runs.js';

makeArtifacts();

const exported = (out: string, ...more: string[]) => [
  ...['export', made.log, '--to', 'packed', '--out', out, ...more],
];

/** Runs a script of bash, in which `ternseed` is the command line; never fails. */
function bash(script: string): Promise<{ code: number; stdout: Buffer; stderr: string }> {
  const preamble = `set -o pipefail; ternseed() { "${process.execPath}" "${MAIN}" "$@"; }\n`;
  return new Promise((resolve) => {
    const options = { cwd: folder, encoding: 'buffer' as const };
    execFile('bash', ['-c', preamble + script], options, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr: stderr.toString() });
    });
  });
}

describe('what is there', () => {
  it('is not replaced without --force by any verb, and nothing is done before that is said', async () => {
    const real = torchLike(trainFloatMlp([36, 8, 4], { ...tinyTrainingSet, width: 36 }, 1));
    await writeFile(at('mlp.safetensors'), real);
    await writeFile(at('a.tern'), 'precious');
    const verbs = [
      train(at('a.tern')),
      ['train', 'text', '--preset', 'tiny', '--steps', '1', '--out', at('a.tern')],
      exported(at('a.tern')),
      ['replay', made.log, '--out', at('a.tern')],
      ['edit', made.log, '--drop', '1', '--out', at('a.tern')],
      ['concat', made.log, made.log, '--out', at('a.tern')],
      ['convert', made.log, '--out', at('a.tern')],
      ['import', at('mlp.safetensors'), '--gain', '30', '--logit-scale', '500', '--out', at('a.tern')],
    ];
    for (const args of verbs) {
      const { code, stdout, stderr } = await cli(args);
      expect(stderr, args[0]).toContain('a.tern" expected to be free, got a file that is there');
      expect(stderr).toContain('"--force"');
      expect(stderr).not.toContain('training');
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(await readFile(at('a.tern'), 'utf8')).toBe('precious');
    }
    for (const args of verbs.filter(([, source]) => source !== 'text')) {
      await writeFile(at('a.tern'), 'precious');
      expect((await cli([...args, '--force'])).code, args[0]).toBe(0);
      expect((await readFile(at('a.tern'))).length).toBeGreaterThan(20);
    }
    expect((await readdir(folder)).sort()).toEqual(['a.tern', 'mlp.safetensors']);
  });

  it('keeps its mode and owner, and its other names keep the old bytes', async () => {
    await writeFile(at('a.tern'), 'old');
    await link(at('a.tern'), at('other'));
    await chmod(at('a.tern'), 0o640);
    const isRoot = process.getuid?.() === 0;
    if (isRoot) execFileSync('chown', ['12:34', at('a.tern')]);
    await cliJson(exported(at('a.tern'), '--force'));
    const { mode, uid, gid } = await stat(at('a.tern'));
    expect(mode & 0o7777).toBe(0o640);
    if (isRoot) expect([uid, gid]).toEqual([12, 34]);
    expect(await readFile(at('other'), 'utf8')).toBe('old');
  });

  it('is a link: what it leads to is written, there or not yet', async () => {
    await mkdir(at('far'));
    await writeFile(at('far/old.tern'), 'old');
    await symlink('far/old.tern', at('old.tern'));
    await symlink('old.tern', at('older.tern'));
    await symlink('../new.tern', at('far/new.tern'));
    for (const [name, target] of [
      ['older.tern', 'far/old.tern'],
      ['far/new.tern', 'new.tern'],
    ]) {
      expect(await cliJson(exported(at(name), '--force'))).toMatchObject({ path: at(name) });
      expect((await lstat(at(name))).isSymbolicLink()).toBe(true);
      expect((await lstat(at(target))).isFile()).toBe(true);
      expect((await cli(['verify', at(name)])).code).toBe(0);
    }
    expect((await cli(exported(at('older.tern')))).code).toBe(2);
    expect((await readdir(at('far'))).sort()).toEqual(['new.tern', 'old.tern']);
  });

  it('is a loop of links, a socket, an empty name: refused', async () => {
    await symlink('b', at('a'));
    await symlink('a', at('b'));
    const loop = await cli(exported(at('a')));
    expect(loop.stderr).toContain('expected to be writable, got a loop of symbolic links');
    expect(loop.code).toBe(3);
    const server = spawn(process.execPath, ['-e', `require('net').createServer().listen('${at('s')}')`]);
    while (!existsSync(at('s'))) await new Promise((resolve) => setTimeout(resolve, 5));
    expect((await cli(exported(at('s')))).stderr).toContain('expected to be writable, got a socket');
    server.kill();
    expect((await cli(exported(''))).stderr).toContain('"--out" expected a file, got an empty name');
    expect((await cli(exported(at('run.partial')))).code).toBe(2);
  });

  it('may not be written, or its folder may not: refused, and left', async () => {
    const bare = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', process.execPath];
    const command = process.getuid?.() === 0 ? bare : [process.execPath];
    await mkdir(at('closed'));
    await writeFile(at('closed/a.tern'), 'old');
    await chmod(at('closed'), 0o555);
    const inClosed = await cli(exported(at('closed/a.tern'), '--force'), {}, command);
    expect(inClosed.stderr).toMatch(/got permission denied: .*"--out -" writes to standard output/);
    await writeFile(at('b.tern'), 'old');
    await chmod(at('b.tern'), 0o444);
    const closed = await cli(exported(at('b.tern'), '--force'), {}, command);
    expect(closed.stderr).toContain('b.tern" expected to be writable, got permission denied');
    expect([inClosed.code, closed.code]).toEqual([3, 3]);
    expect(await readFile(at('b.tern'), 'utf8')).toBe('old');
    await chmod(at('closed'), 0o755);
  });
});

describe('what is read is not written over, even with --force:', () => {
  it('the bases of a delta, by any name', async () => {
    const on = (base: string, out: string, ...more: string[]) => train(at(out), '--base', at(base), ...more);
    await copyFile(made.pool, at('base.tern'));
    await cliJson(on('base.tern', 'one.tern', '--learning-rate', '0.6'));
    await cliJson(on('one.tern', 'two.tern', '--learning-rate', '0.9'));
    await symlink('base.tern', at('link.tern'));
    await link(at('base.tern'), at('hard.tern'));
    const before = await readFile(at('base.tern'));
    const attempts = [
      on('base.tern', 'base.tern', '--force'),
      on('base.tern', './base.tern', '--force'),
      on('link.tern', 'base.tern', '--force'),
      on('base.tern', 'link.tern', '--force'),
      on('base.tern', 'hard.tern', '--force'),
      on('two.tern', 'base.tern', '--force'),
      ['convert', at('two.tern'), '--out', at('hard.tern'), '--force'],
      ['export', at('two.tern'), '--to', 'packed', '--out', at('one.tern'), '--force'],
      ['replay', at('two.tern'), '--out', at('base.tern'), '--force'],
    ];
    for (const args of attempts) {
      const { code, stderr } = await cli(args);
      expect(stderr, args.join(' ')).toMatch(/"--out" expected a file that is not read for it, got ".*"/);
      expect(code).toBe(2);
    }
    expect(await readFile(at('base.tern'))).toEqual(before);
    expect((await readdir(folder)).filter((name) => !name.endsWith('.tern'))).toEqual([]);
    expect((await cli(['verify', at('two.tern')])).code).toBe(0);
  });

  it('the default name of a delta is not that of its base', async () => {
    await copyFile(made.pool, at('idx.tern'));
    const args = ['train', 'idx', '--data', data, ...tinyOptions, '--base', 'idx.tern'];
    expect(await cliJson(args, { cwd: folder })).toMatchObject({ artifact: 'idx.delta.tern' });
    expect(await readFile(at('idx.tern'))).toEqual(await readFile(made.pool));
  });

  it('a file that would be its own base is not taken for it', async () => {
    // A run of no effect: the weights of the delta are those of its base.
    await cliJson(train(at('base.tern'), '--artifact', 'packed'));
    await cliJson(
      train(at('a.tern'), '--base', at('base.tern'), '--artifact', 'packed', '--learning-rate', '1e-9'),
    );
    await copyFile(at('a.tern'), at('b.tern'));
    expect(await cliJson(['inspect', at('a.tern')])).toMatchObject({ base: { name: 'base.tern' } });
    expect((await cli(['verify', at('a.tern'), '--base', at('a.tern')])).code).toBe(0);
    await rm(at('base.tern'));
    await copyFile(at('b.tern'), at('base.tern'));
    const { code, stderr } = await cli(['verify', at('a.tern'), '--base', at('a.tern')]);
    expect(stderr).toContain('which cannot be a base of itself');
    expect(code).toBe(3);
  });

  it('the data, the settings, the model, the metrics', async () => {
    const copied = at('data');
    await mkdir(copied);
    for (const name of await readdir(data)) await copyFile(join(data, name), join(copied, name));
    await writeFile(at('run.json'), '{}');
    const labels = join(copied, 't10k-labels-idx1-ubyte');
    const on = (...more: string[]) => [...train('x', '--data', copied, '--config', at('run.json')), ...more];
    const attempts = [
      on('--out', labels, '--force'),
      on('--out', at('run.json'), '--force'),
      on('--out', at('a.tern'), '--metrics', labels, '--force'),
      on('--out', at('a.tern'), '--metrics', at('a.tern'), '--force'),
      on('--out', at('a.tern'), '--metrics', at('a.tern.partial'), '--force'),
      ['train', 'text', '--text', labels, '--out', labels, '--force'],
    ];
    const before = await readFile(labels);
    for (const args of attempts) {
      const { code, stderr } = await cli(args);
      expect(stderr, args.join(' ')).toMatch(/"--(out|metrics)" expected a file/);
      expect(code).toBe(2);
    }
    expect(await readFile(labels)).toEqual(before);
    expect((await readdir(folder)).sort()).toEqual(['data', 'run.json']);
  });
});

describe('pipes, devices, standard input and output', () => {
  it('take what is written, and stay what they are', async () => {
    await cliJson(exported(at('file.tern')));
    const want = await readFile(at('file.tern'));
    const script = `ternseed export ${made.log} --to packed --out`;
    const written = {
      '-': await bash(`${script} -`),
      '/dev/stdout': await bash(`${script} /dev/stdout`),
      '/dev/stdout in a file': await bash(`${script} /dev/stdout > f; cat f`),
      '/dev/fd/3': await bash(`${script} /dev/fd/3 3>&1 >&2`),
      'a process': await bash(`exec 3>&1; ${script} >(cat >&3) >&2`),
      'a pipe': await bash(`mkfifo pipe; cat pipe & ${script} pipe >&2; wait; test -p pipe`),
    };
    for (const [what, { stdout, stderr, code }] of Object.entries(written)) {
      expect({ what, code, bytes: stdout }, stderr).toEqual({ what, code: 0, bytes: want });
      expect(stderr).toContain('bits a weight');
    }
    expect((await readdir(folder)).sort()).toEqual(['f', 'file.tern', 'pipe']);
  });

  it.skipIf(process.getuid?.() !== 0)('among devices, one that is full is an error', async () => {
    execFileSync('mknod', [at('null'), 'c', '1', '3']);
    execFileSync('mknod', [at('full'), 'c', '1', '7']);
    expect((await cli(exported(at('null')))).code).toBe(0);
    const full = await cli(exported(at('full')));
    expect(full.stderr).toContain('full" expected to take all bytes, got no space left on the disk');
    expect(full.code).toBe(3);
    expect(
      (await lstat(at('null'))).isCharacterDevice() && (await lstat(at('full'))).isCharacterDevice(),
    ).toBe(true);
    expect((await readdir(folder)).sort()).toEqual(['full', 'null']);
    const printed = await bash(`ternseed inspect ${made.log} > ${at('full')}`);
    expect(printed.code).toBe(3);
    expect(printed.stderr).toContain('standard output" expected to take what is printed, got no space left');
  });

  it('say so when their reader has gone before the end', async () => {
    const { code, stderr } = await bash(
      `{ sleep 0.2; ternseed replay ${made.log} --out -; echo "code $?" >&2; } | true`,
    );
    expect(stderr).toContain('"-" expected to take all bytes, got a reader that has gone');
    expect(stderr).toContain('code 3');
    expect(code).toBe(0);
  });

  it('give what is read, in every verb', async () => {
    const read = [
      `ternseed inspect - --json < ${made.log}`,
      `cat ${made.log} | ternseed verify - --json`,
      `cat ${made.log} | ternseed inspect /dev/stdin --json`,
      `ternseed eval <(cat ${made.log}) --data ${data} --json`,
      `mkfifo pipe; cat ${made.log} > pipe & ternseed replay pipe --json`,
      `ternseed log - --json < ${made.log}`,
      `ternseed diff - ${made.pool} --json < ${made.log}`,
      `ternseed edit - --drop 1-3 --out - < ${made.log} | ternseed concat - ${made.log} --out both.tern --json`,
      `ternseed convert - --to packed --out - < ${made.log} | ternseed inspect - --json`,
      `ternseed export - --to safetensors --out - < ${made.log} | ternseed import - --out - | ternseed verify - --json`,
      `echo '{"steps": 3}' | ternseed train idx --data ${data} ${tinyOptions
        .filter((word, i) => word !== '--steps' && tinyOptions[i - 1] !== '--steps')
        .map((word) => `'${word}'`)
        .join(' ')} --config - --out c.tern --json`,
      `ternseed train idx --data ${data} --steps 3 --learning-rate 0.5 --base - --out d.tern --json < ${made.pool}`,
    ];
    for (const script of read) {
      const { code, stdout, stderr } = await bash(script);
      expect(code, `${script}\n${stderr}`).toBe(0);
      expect(JSON.parse(stdout.toString()), script).toBeTypeOf('object');
    }
    expect(await cliJson(['inspect', at('c.tern')])).toMatchObject({ steps: 3 });
    expect(await cliJson(['inspect', at('d.tern')])).toMatchObject({ base: { name: 'stdin' } });
  });

  it('are one thing at a time', async () => {
    for (const [script, reason] of [
      [`ternseed diff - - < ${made.log}`, '"-" is standard input, which can be read once'],
      [`ternseed verify - --base /dev/stdin < ${made.log}`, 'is standard input, which can be read once'],
      [
        `ternseed concat - ${made.log} - --out x < ${made.log}`,
        '"-" is standard input, which can be read once',
      ],
      [`ternseed train text --text - --config - --out x < ${made.log}`, 'which can be read once'],
      [`ternseed replay ${made.log} --out - --json`, '"--json" prints an object on standard output'],
      [`ternseed train idx --data ${data} --out - --metrics -`, '"--metrics" sends lines to standard output'],
      [
        `ternseed train idx --data ${data} --out x --metrics - --json`,
        '"--metrics" sends lines to standard output',
      ],
      [`ternseed replay - --step 3 --index < ${made.log}`, '"--index" keeps a file beside the log'],
    ]) {
      const { code, stdout, stderr } = await bash(script);
      expect(stderr, script).toContain(reason);
      expect({ code, stdout: stdout.toString() }).toEqual({ code: 2, stdout: '' });
    }
    expect(await readdir(folder)).toEqual([]);
  });

  it('take an artifact that is trained, and its metrics', async () => {
    const args = train('-', '--artifact', 'auto')
      .map((word) => `'${word}'`)
      .join(' ');
    const { code, stdout, stderr } = await bash(`TMPDIR=${folder} ternseed ${args}`);
    expect(code, stderr).toBe(0);
    await writeFile(at('a.tern'), stdout);
    expect(await cliJson(['inspect', at('a.tern')])).toMatchObject({ steps: STEPS });
    expect(stderr).toContain('test accuracy');
    expect(await readdir(folder)).toEqual(['a.tern']);
    const lines = await cli(train(at('b.tern'), '--metrics', '-'));
    expect(
      lines.stdout
        .trimEnd()
        .split('\n')
        .map((line) => (JSON.parse(line) as { step: number }).step),
    ).toHaveLength(STEPS);
    expect(lines.stderr).toContain('test accuracy');
  });

  it('that fail a run leave it where it can be resumed', async () => {
    const args = train('-', '--steps', '40')
      .map((word) => `'${word}'`)
      .join(' ');
    const { stderr } = await bash(`{ TMPDIR=${folder} ternseed ${args}; echo "code $?" >&2; } | true`);
    expect(stderr).toContain('code 3');
    const resume = /continue with: ternseed (train .*)/.exec(stderr)?.[1] as string;
    expect((await cli(resume.split(' '))).code).toBe(0);
    const [work] = await readdir(folder);
    await cliJson(train(at('whole.tern'), '--steps', '40'));
    expect(await readFile(join(folder, work, 'idx.tern'))).toEqual(await readFile(at('whole.tern')));
  });

  it('take a text to train on', async () => {
    await writeFile(at('text'), 'To be, or not to be, that is the question.\n'.repeat(200));
    const script = `ternseed train text --preset tiny --blocks 1 --loop-to 1 --steps 2 --batch 2 --shards 1 --context 32 --threads 1 --out -`;
    const { code, stdout, stderr } = await bash(
      `cat text | ${script} --text - > piped.tern && ${script} --text text > named.tern && ternseed eval piped.tern --data <(cat text) --json`,
    );
    expect(code, stderr).toBe(0);
    const { weightsHash } = JSON.parse(stdout.toString()) as { weightsHash: string };
    expect(await cliJson(['inspect', at('named.tern')])).toMatchObject({ weightsHash });
  });
});

describe('one writer a file', () => {
  it('is one, too, who uses another name of it, imports, or keeps the smallest form', async () => {
    await symlink('a.tern', at('link.tern'));
    const long = train(at('link.tern'), '--steps', '200000', '--threads', '1');
    const run = startCli(long);
    await run.shown(' steps of ');
    await cliJson(['export', made.log, '--to', 'safetensors', '--out', at('a.safetensors')]);
    for (const args of [
      exported(at('a.tern')),
      ['import', at('a.safetensors'), '--out', at('a.tern')],
      ['import', at('a.safetensors'), '--out', at('link.tern')],
    ]) {
      const { code, stderr } = await cli(args);
      expect(stderr).toContain(`a.tern" is being written by process ${run.child.pid} since`);
      expect(code).toBe(2);
    }
    const both = await cli(train(at('a.tern')));
    expect(both.stderr).toMatch(/is being written by process/);
    run.child.kill('SIGKILL');
    await run.ended;
    expect((await readdir(folder)).sort()).toEqual([
      'a.safetensors',
      'a.tern.lock',
      'a.tern.partial',
      'link.tern',
    ]);
  });

  it('does not write over what has come to be there while it worked', async () => {
    const run = await Run.start(tinyConfig, ofExamples(await loadIdxDirectory(data), reference), {
      backend: reference,
      out: at('a.tern'),
    });
    run.close();
    await run.trainer.release();
    const resumed = startCli(['train', 'idx', '--data', data, '--resume', at('a.tern')]);
    expect((await resumed.ended).code).toBe(0);
    const long = startCli(train(at('b.tern'), '--steps', '3000', '--threads', '1'));
    await long.shown(' steps of ');
    await writeFile(at('b.tern'), 'of somebody else');
    const { code, stderr } = await long.ended;
    expect(stderr).toContain('b.tern" expected to be free, got a file that is there');
    expect(stderr).toContain(`--resume ${at('b.tern')}`);
    expect(code).toBe(2);
    const resume = ['train', 'idx', '--data', data, '--resume', at('b.tern')];
    expect((await cli(resume)).code).toBe(2);
    expect(await readFile(at('b.tern'), 'utf8')).toBe('of somebody else');
    await rm(at('b.tern'));
    expect((await cli(['train', 'idx', '--data', data, '--resume', at('b.tern')])).code).toBe(0);
  });
});

describe('a signal', () => {
  it.each(['SIGHUP', 'SIGTERM', 'SIGINT'] as const)('%s leaves the unfinished run alone', async (signal) => {
    const run = startCli(train(at('a.tern'), '--steps', '200000', '--threads', '1'));
    await run.shown(' steps of ');
    run.child.kill(signal);
    const { code, stderr } = await run.ended;
    expect(code, stderr).toBe(130);
    expect(stderr).toContain('continue with: ternseed train idx');
    expect(await readdir(folder)).toEqual(['a.tern.partial']);
  });

  it('before the first step leaves neither lock nor temporary file', async () => {
    const run = startCli(train(at('a.tern'), '--steps', '200000', '--threads', '1'));
    while (!existsSync(at('a.tern.lock'))) await new Promise((resolve) => setTimeout(resolve, 1));
    run.child.kill('SIGTERM');
    expect((await run.ended).code).toBe(130);
    expect((await readdir(folder)).filter((name) => name !== 'a.tern.partial')).toEqual([]);
  });

  it.skipIf(process.platform !== 'linux')(
    'that nobody has noticed yet: a zombie’s run is resumed',
    async () => {
      const words = train(at('a.tern'), '--steps', '200000', '--threads', '1')
        .map((word) => `'${word}'`)
        .join(' ');
      const script = `'${process.execPath}' '${MAIN}' ${words} & echo $!; exec sleep 600`;
      const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      while (!existsSync(at('a.tern.partial'))) await new Promise((resolve) => setTimeout(resolve, 5));
      process.kill(Number(line.toString()), 'SIGKILL');
      const { code, stderr } = await cli([
        'train',
        'idx',
        '--data',
        data,
        '--resume',
        at('a.tern'),
        '--minutes',
        '0.001',
      ]);
      parent.kill('SIGKILL');
      expect(code, stderr).toBe(0);
    },
  );
});

describe('metrics', () => {
  it('are continued where they are those of the run, and nothing else is', async () => {
    const run = startCli(
      train(at('a.tern'), '--steps', '3000', '--threads', '1', '--metrics', at('m.jsonl')),
    );
    await run.shown(' steps of ');
    run.child.kill('SIGINT');
    expect((await run.ended).code).toBe(130);
    const resumed = (metrics: string) => [
      'train',
      'idx',
      '--data',
      data,
      '--resume',
      at('a.tern'),
      '--metrics',
      metrics,
    ];
    await writeFile(at('notes.txt'), 'the notes of a year\n');
    const refused = await cli(resumed(at('notes.txt')));
    expect(refused.stderr).toContain('"--metrics" expected the lines of this run');
    expect(refused.code).toBe(2);
    expect(await readFile(at('notes.txt'), 'utf8')).toBe('the notes of a year\n');
    await writeFile(at('settings.json'), '{"steps": 3}');
    expect((await cli(resumed(at('settings.json')))).code).toBe(2);
    expect(await readFile(at('settings.json'), 'utf8')).toBe('{"steps": 3}');
    await cliJson(resumed(at('m.jsonl')));
    const steps = (await readFile(at('m.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(steps).toHaveLength(3000);
  });

  it('go into a pipe', async () => {
    const args = train(at('a.tern'))
      .map((word) => `'${word}'`)
      .join(' ');
    const { code, stdout, stderr } = await bash(
      `mkfifo pipe; cat pipe & ternseed ${args} --metrics pipe >&2 && wait`,
    );
    expect(code, stderr).toBe(0);
    expect(stdout.toString().trimEnd().split('\n')).toHaveLength(STEPS);
  });
});

describe('a side index', () => {
  it('is not made over something else of its name', async () => {
    await cliJson(['edit', made.log, '--repeat', `1-${STEPS}x400`, '--out', at('long.tern')]);
    await copyFile(made.pool, at('long.tern.index'));
    const { code, stderr } = await cli(['replay', at('long.tern'), '--step', '4000', '--index']);
    expect(stderr).toContain('"--index" expected an index in');
    expect(code).toBe(2);
    expect(await readFile(at('long.tern.index'))).toEqual(await readFile(made.pool));
  });
});
