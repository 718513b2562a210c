// What becomes of a run that is killed, has no room, may not write, or is not alone: of a log, of a pool, of
// ste. Each part ends with the bytes of a run that was left in peace.
//
//   node scripts/crash-test.mjs [--kills 200] [--rounds 10] [--seed 1] [--json] [--report]
//
// --report writes bench/results/crash.md and .json.
//
// The full disk is a small tmpfs, which only the super-user can mount; the others skip that part and say so.

import { execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readCheckpoint } from '../dist/src/artifact/checkpoint.js';
import { readUnfinishedLog } from '../dist/src/artifact/unfinished-log.js';
import { writeCrashReport } from './crash-report.mjs';

const MAIN = join(dirname(dirname(fileURLToPath(import.meta.url))), 'dist', 'cli', 'main.js');
const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '10' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
});
const kills = Number(options.kills);
const rounds = Number(options.rounds);

let state = Number(options.seed);
/** 0…1. */
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

const root = mkdtempSync(join(tmpdir(), 'ternseed-crash-'));
const data = join(root, 'data');
writeData();

/** 400 images of 6×6 in four classes, and 100 to test on. */
function writeData() {
  mkdirSync(data);
  const idx = (shape, bytes) =>
    Buffer.from([0, 0, 8, shape.length, ...shape.flatMap((size) => [0, 0, size >> 8, size & 255]), ...bytes]);
  for (const [stem, count] of [
    ['train', 400],
    ['t10k', 100],
  ]) {
    const pixels = Array.from({ length: count * 36 }, (_, i) => {
      const label = Math.floor(i / 36) % 4;
      return Math.floor(((i % 36) % 4 === label ? 180 : 20) + 60 * random());
    });
    writeFileSync(join(data, `${stem}-images-idx3-ubyte`), idx([count, 6, 6], pixels));
    writeFileSync(
      join(data, `${stem}-labels-idx1-ubyte`),
      idx(
        [count],
        Array.from({ length: count }, (_, i) => i % 4),
      ),
    );
  }
}

const SMALL = [
  '--model',
  '36-8-4',
  '--cut',
  '1',
  '--batch',
  '32',
  '--probes',
  '2',
  '--pool',
  '48',
  '--directions',
  '16',
];
const FEW = [
  '--nonzeros',
  '8,4',
  '--nonzeros-below',
  '1',
  '--seed',
  'crash',
  '--threads',
  '1',
  '--shift',
  '0',
];
const STE = [
  ...['--method', 'ste', '--model', '36-13-8-4', '--quantizer', 'absmean', '--seed', 'crash'],
  ...['--logit-scale', '480', '--batch', '32', '--shift', '0', '--learning-rate', '0.01'],
];
/** Settings of each kind of run; pools and ste save after every step, as logs do anyway. */
const RUNS = {
  log: [...SMALL, ...FEW, '--artifact', 'log', '--perturb', 'weights'],
  pool: [...SMALL, ...FEW, '--artifact', 'pool', '--perturb', 'nodes', '--save-every', '0'],
  ste: [...STE, '--save-every', '0'],
};
/** Steps of a run that takes some seconds. */
const STEPS = { log: '12000', pool: '4000', ste: '3000' };
const begin = (settings, out, ...more) => [
  'train',
  'idx',
  '--data',
  data,
  ...settings,
  '--out',
  out,
  ...more,
];
const goOn = (out, ...more) => ['train', 'idx', '--data', data, '--resume', out, ...more];

/** Starts the command line; `began` resolves when the first step is about to come, or it has ended. */
function start(args, prefix = []) {
  const [command, ...rest] = [...prefix, process.execPath, MAIN, ...args];
  const child = spawn(command, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  let tell;
  const began = new Promise((resolve) => {
    tell = resolve;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    if (stderr.includes(' steps of ')) tell();
  });
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code, signal) => {
      tell();
      resolve({ code, signal, stderr });
    });
  });
  return { child, began, ended };
}
const run = (args, prefix) => start(args, prefix).ended;

function check(holds, what) {
  if (!holds) throw new Error(`${what} (files in ${root})`);
}
const same = (a, b) => Buffer.compare(readFileSync(a), readFileSync(b)) === 0;
const folder = (name) => mkdtempSync(join(root, `${name}-`));

/** A run that was left in peace: its file, and how long its steps took. */
async function unbroken(settings) {
  const out = join(folder('whole'), 'a.tern');
  const begun = performance.now();
  const running = start(begin(settings, out));
  await running.began;
  const startMs = performance.now() - begun;
  const { code, stderr } = await running.ended;
  check(code === 0, `an unbroken run ended with ${code}: ${stderr}`);
  return { out, startMs, stepsMs: performance.now() - begun - startMs };
}

/** Steps of an unfinished run; 0 when there is none. */
function stepsOf(partial, kind) {
  if (!existsSync(partial)) return 0;
  const bytes = readFileSync(partial);
  switch (kind) {
    case 'log':
      return readUnfinishedLog(bytes).steps;
    default:
      return readCheckpoint(bytes).step;
  }
}

/** When a file was written last; 0 when there is none. */
function writtenAt(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}

/** SIGKILL at random moments: in the start, in the steps, while saving. */
async function killed(kind, count) {
  const settings = [...RUNS[kind], '--steps', STEPS[kind]];
  const whole = await unbroken(settings);
  const out = join(folder(kind), 'a.tern');
  const metrics = join(folder('metrics'), 'm.jsonl');
  let steps = 0;
  let inSteps = 0;
  let left = 0; // files that were half written
  for (let kill = 0; kill < count; kill++) {
    const more = ['--metrics', metrics];
    const args = existsSync(`${out}.partial`)
      ? goOn(out, ...more, ...(kind === 'log' ? [] : ['--save-every', '0']))
      : begin(settings, out, ...more);
    const before = writtenAt(`${out}.partial`);
    const running = start(args);
    const early = kill % 5 === 4;
    if (!early) await running.began;
    // On a busy machine a run may take long to its first step: half of the kills wait for one.
    const waits = kill % 2 === 0 && !early;
    while (waits && writtenAt(`${out}.partial`) === before && running.child.exitCode === null) await sleep(1);
    await sleep(random() * (early ? whole.startMs : whole.stepsMs / count));
    running.child.kill('SIGKILL');
    const { signal, stderr } = await running.ended;
    check(signal === 'SIGKILL', `kill ${kill} of a ${kind} came too late: ${stderr}`);
    const now = stepsOf(`${out}.partial`, kind);
    const told = existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n').length - 1 : 0;
    check(now >= steps, `kill ${kill} of a ${kind} lost steps: ${now} after ${steps}`);
    // A step is told of before it is saved, so the last may be known to the metrics alone.
    check(now >= told - 1, `kill ${kill} of a ${kind}: ${told} steps told, ${now} kept`);
    if (now > steps) inSteps += 1;
    if (existsSync(`${out}.partial.tmp`)) left += 1;
    steps = now;
  }
  const { code, stderr } = await run(goOn(out));
  check(code === 0, `a ${kind} killed ${count} times ended with ${code}: ${stderr}`);
  check(same(out, whole.out), `a ${kind} killed ${count} times ended in other bytes`);
  check(readdirSync(dirname(out)).join() === 'a.tern', `files were left: ${readdirSync(dirname(out))}`);
  return { kills: count, runsThatGotOn: inSteps, stepsAtLastKill: steps, killedWhileSaving: left };
}

/** No room: what is there stays, the message says so, and with more room the run goes on. */
async function fullDisk() {
  const disk = folder('disk');
  const mount = (...args) => execFileSync('mount', args, { stdio: 'pipe' });
  try {
    mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk);
  } catch (error) {
    return { skipped: `no tmpfs can be mounted here: ${String(error.stderr ?? error).trim()}` };
  }
  try {
    const result = {};
    for (const [kind, settings] of Object.entries(RUNS)) {
      const long = [...settings, '--steps', { log: '6000', pool: '3000', ste: '1500' }[kind]];
      const whole = await unbroken(long);
      const out = join(disk, 'a.tern');
      // A log fills the disk by itself; a checkpoint is replaced, so the disk is filled under it.
      const running = start(begin(long, out));
      await running.began;
      while (kind !== 'log' && stepsOf(`${out}.partial`, kind) === 0) await sleep(1);
      if (kind !== 'log') fill(join(disk, 'filling'));
      const { code, stderr } = await running.ended;
      check(
        code === 3 && stderr.includes('no space left on the disk'),
        `${kind}, full disk: ${code} ${stderr}`,
      );
      const steps = stepsOf(`${out}.partial`, kind);
      check(steps > 0, `${kind}, full disk: no step kept`);
      const still = await run(goOn(out));
      check(
        still.code === 3 && still.stderr.includes('no space left'),
        `${kind}, still full: ${still.stderr}`,
      );
      check(stepsOf(`${out}.partial`, kind) >= steps, `${kind}, still full: steps lost`);
      const exported = await run(['export', whole.out, '--to', 'packed', '--out', join(disk, 'b.tern')]);
      check(
        exported.code === 3 && !existsSync(join(disk, 'b.tern')),
        `export, full disk: ${exported.stderr}`,
      );
      const files = readdirSync(disk).filter((name) => name !== 'filling');
      check(files.join() === 'a.tern.partial', `${kind}, full disk: files were left: ${files}`);
      mount('-o', 'remount,size=8m', disk);
      const on = await run(goOn(out));
      check(on.code === 0 && same(out, whole.out), `${kind}, room again: ${on.code} ${on.stderr}`);
      for (const name of readdirSync(disk)) rmSync(join(disk, name));
      mount('-o', 'remount,size=64k', disk);
      result[kind] = { stepsWhenFull: steps };
    }
    return result;
  } finally {
    execFileSync('umount', [disk]);
  }
}

/** Writes until there is no room. */
function fill(path) {
  try {
    for (let size = 4096; ; size += 4096) writeFileSync(path, Buffer.alloc(size));
  } catch (error) {
    check(error.code === 'ENOSPC', `filling the disk: ${error.message}`);
  }
}

/** A folder that may not be written: refused at once, and nothing changes. */
async function readOnly() {
  const bare = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']; // the super-user may write anywhere
  const prefix = process.getuid?.() === 0 ? bare : [];
  const whole = await unbroken([...RUNS.log, '--steps', '50']);
  const closed = folder('closed');
  const out = join(closed, 'a.tern');
  const running = start(begin([...RUNS.log, '--steps', '4000'], out));
  await running.began;
  while (stepsOf(`${out}.partial`, 'log') === 0) await sleep(1);
  running.child.kill('SIGKILL');
  await running.ended;
  rmSync(`${out}.lock`);
  const files = () => readdirSync(closed).map((name) => [name, statSync(join(closed, name)).size].join(' '));
  const before = files().join();
  chmodSync(closed, 0o555);
  const attempts = [
    begin(RUNS.pool, join(closed, 'b.tern')),
    begin(RUNS.log, join(closed, 'b.tern')),
    begin(RUNS.ste, join(closed, 'b.tern')),
    goOn(out),
    ['export', whole.out, '--to', 'packed', '--out', join(closed, 'b.tern')],
    ['replay', whole.out, '--out', join(closed, 'b.tern')],
  ];
  for (const args of attempts) {
    const { code, stderr } = await run(args, prefix);
    check(code === 3 && stderr.includes('permission denied'), `${args[0]}, read-only: ${code} ${stderr}`);
    check(files().join() === before, `${args[0]}, read-only: files changed`);
  }
  chmodSync(closed, 0o755);
  return { attempts: attempts.length };
}

/** Two at once: one is refused with the other's number, and the bytes are those of one alone. */
async function twoWriters() {
  const settings = [...RUNS.log, '--steps', '4000'];
  const whole = await unbroken(settings);
  const refusedBy = (ended) =>
    ended.filter(({ code, stderr }) => code === 2 && stderr.includes('is being written by'));
  for (let round = 0; round < rounds; round++) {
    const out = join(folder('two'), 'a.tern');
    const pair = [start(begin(settings, out)), start(begin(settings, out))];
    await Promise.all(pair.map(({ began }) => began));
    await sleep(20 * random());
    for (const { child } of pair) child.kill('SIGKILL');
    const begun = await Promise.all(pair.map(({ ended }) => ended));
    check(refusedBy(begun).length === 1, `two trains: ${begun.map(({ stderr }) => stderr).join('\n')}`);
    const resumed = await Promise.all([run(goOn(out)), run(goOn(out))]);
    const told = resumed.map(({ code, stderr }) => `${code} ${stderr}`).join('\n');
    // The second may also come when the first has ended: then there is nothing to go on with.
    const late = resumed.filter(({ code, stderr }) => code === 3 && stderr.includes('no such file'));
    check(resumed.filter(({ code }) => code === 0).length === 1, `two resumes: ${told}`);
    check(refusedBy(resumed).length + late.length === 1, `two resumes: ${told}`);
    check(same(out, whole.out), 'two resumes ended in other bytes');
    check(readdirSync(dirname(out)).join() === 'a.tern', `files were left: ${readdirSync(dirname(out))}`);
  }
  return { rounds };
}

const begun = performance.now();
const result = {};
const shareOf = (i) => Math.floor((kills * (i + 1)) / 3) - Math.floor((kills * i) / 3);
const parts = {
  ...Object.fromEntries(
    Object.keys(RUNS).map((kind, i) => [`killed, ${kind}`, () => killed(kind, shareOf(i))]),
  ),
  'full disk': fullDisk,
  'read-only folder': readOnly,
  'two writers': twoWriters,
};
for (const [name, part] of Object.entries(parts)) {
  result[name] = await part();
  if (!options.json) process.stderr.write(`${name}: ${JSON.stringify(result[name])}\n`);
}
rmSync(root, { recursive: true });
const seconds = Math.round((performance.now() - begun) / 1000);
process.stdout.write(`${JSON.stringify({ ok: true, seconds, ...result }, null, options.json ? 0 : 2)}\n`);
if (options.report) writeCrashReport({ kills, rounds, seconds, kinds: Object.keys(RUNS), result });
