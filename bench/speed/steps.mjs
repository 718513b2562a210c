// One step of each estimator of noise-step on MNIST: ours and, called from here, PyTorch's on the same batch and
// weights, in turns.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openWasm } from '../../dist/src/backend/wasm/wasm.js';
import { Batches } from '../../dist/src/data/batches.js';
import { PRESETS } from '../../dist/src/perturb/presets.js';
import { NoiseStepTrainer } from '../../dist/src/perturb/trainer.js';
import { median, root } from '../report.mjs';

/** Debian's, which alone sees Debian's PyTorch. */
const PYTHON = '/usr/bin/python3';

/** Kernels for AVX2 in OpenBLAS and PyTorch, whatever more the processor has. */
export const AVX2 = { OPENBLAS_CORETYPE: 'Haswell', ATEN_CPU_CAPABILITY: 'avx2' };

/** Runs a Python peer; null where it says that its library is missing. */
export function python(script, options, environment = {}) {
  const path = join(root, 'bench/peers/torch', script);
  const { status, stdout, stderr } = spawnSync(PYTHON, [path, JSON.stringify(options)], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  if (status === 3 || status === null) {
    process.stderr.write(`${stderr ?? ''}${PYTHON} ${script}: left out\n`);
    return null;
  }
  if (status !== 0) throw new Error(`${script} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout);
}

/**
 * Times a preset's step after some training.
 * @returns { ms of ours, ms of theirs with the best kernels and with AVX2's, losses of both on the same batch },
 * medians over rounds
 */
export async function estimatorStep(preset, data, { warmUp, rounds, seconds, threads }) {
  const backend = await openWasm({ threads });
  const config = PRESETS[preset];
  const trainer = await NoiseStepTrainer.create(config, data, backend);
  while (trainer.step < warmUp) await trainer.next();
  const { graph: network, placed, counts } = trainer;
  const batch = new Batches(trainer.key, data, config.batch, config.shift);
  batch.load(trainer.step);
  const folder = mkdtempSync(join(tmpdir(), 'ternseed-steps-'));
  writeFileSync(join(folder, 'inputs.bin'), batch.inputs);
  writeFileSync(join(folder, 'labels.bin'), batch.labels);
  writeFileSync(join(folder, 'weights.bin'), await placed.readWeights());
  placed.load({ inputs: batch.inputs, labels: batch.labels, length: 1 });
  const { losses } = await placed.evaluate();
  const loss = (losses.reduce((sum, one) => sum + one, 0) / losses.length / 65_536) * Math.LN2;
  const { gain, logitScale, probes, sigma, directions, perturb } = config;
  const peer = {
    ...{ estimator: perturb, folder, seconds, threads, widths: network.widths, gain, logitScale },
    ...{ probes, sigma, directions, chunk: 8, nonzeros: config.nonzeros[0], pool: counts },
  };
  const ours = [];
  const theirs = [];
  const theirsAvx2 = [];
  for (let round = 0; round < rounds; round++) {
    theirs.push(python('noise_step.py', peer));
    theirsAvx2.push(python('noise_step.py', peer, AVX2));
    const ends = performance.now() + 1000 * seconds;
    const times = [];
    while (performance.now() < ends) {
      const begun = performance.now();
      await trainer.next();
      times.push(performance.now() - begun);
    }
    ours.push(median(times));
  }
  await backend.close();
  rmSync(folder, { recursive: true });
  const medianOf = (runs) => {
    const known = runs.filter((one) => one !== null);
    if (known.length === 0) return null;
    return { name: known[0].name, ms: median(known.map(({ stepMs }) => stepMs)), loss: known[0].loss };
  };
  return {
    ...{
      preset,
      estimator: perturb,
      model: config.model,
      batch: config.batch,
      threads,
      loss,
      ms: median(ours),
    },
    peer: medianOf(theirs),
    peerAvx2: medianOf(theirsAvx2),
  };
}
