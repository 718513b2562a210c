// Whole work on a device and on the CPU beside it: forward passes, training steps, time to an accuracy, replay.
// Both sides do the same, and what they end with must have the same hash.

import { encodeSeedPool, openArtifact } from '../../dist/src/artifact/artifact.js';
import { rebuild } from '../../dist/src/artifact/rebuild.js';
import { weightsHash } from '../../dist/src/artifact/weights-hash.js';
import { PRESETS, TEXT_NOISE_STEP_PRESETS } from '../../dist/src/perturb/presets.js';
import { NoiseStepTrainer } from '../../dist/src/perturb/trainer.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';
import { transformerOf } from '../../dist/src/ternary/builders/transformer.js';
import { median } from '../report.mjs';

/** A preset for data of any width. */
export function configOf(preset, width, changes = {}) {
  const config = { ...PRESETS[preset], ...changes };
  return { ...config, model: [width, ...config.model.split('-').slice(1)].join('-') };
}

/** Forward passes of one example a second, and the hash of the logits. */
export async function forwardPasses(backend, widths, batch, seconds) {
  const network = networkOf(widths, { centred: true, gain: 40, logitScale: 100 });
  const placed = await backend.place(network, { batch });
  await placed.initLatents([1, 2], 0);
  const inputs = Uint8Array.from(
    { length: batch * widths[0] },
    (_, i) => Math.imul(i + 1, 2654435761) >>> 25,
  );
  placed.load({ inputs, labels: new Uint8Array(batch), length: 1 });
  await placed.evaluate();
  let passes = 0;
  const begun = performance.now();
  while (performance.now() - begun < seconds * 1000) {
    await placed.evaluate();
    passes += batch;
  }
  const passesPerSecond = (passes * 1000) / (performance.now() - begun);
  const logits = await placed.logits();
  await placed.release();
  return { passesPerSecond, hash: await digest(logits) };
}

/** Milliseconds of a training step, the last loss and the hash of the weights after all steps. */
export async function trainingSteps(backend, config, data, steps) {
  const trainer = await NoiseStepTrainer.create(config, data.train, backend);
  return timedSteps(trainer, steps, async () => weightsHash(await trainer.placed.readWeights()));
}

/** The same of a transformer, on a text that is made here. */
export async function textSteps(backend, changes, steps) {
  const text = Uint8Array.from(
    { length: 65_536 },
    (_, i) => 97 + ((Math.imul(i + 1, 2654435761) >>> 28) % 9),
  );
  const trainer = await NoiseStepTrainer.ofText(textConfig(changes), text, backend);
  return timedSteps(trainer, steps, async () => weightsHash(await trainer.values(), trainer.graph.tensors));
}

/** What a transformer is called, and its windows a step. */
export function textModel(changes) {
  const config = textConfig(changes);
  return { model: transformerOf(config).name, batch: config.batch };
}

function textConfig(changes) {
  return { ...TEXT_NOISE_STEP_PRESETS.default, ...changes };
}

async function timedSteps(trainer, steps, hashOf) {
  const times = [];
  let last;
  for (let step = 0; step < steps; step++) {
    const begun = performance.now();
    last = await trainer.next();
    times.push(performance.now() - begun);
  }
  const hash = await hashOf();
  await trainer.placed.release();
  return { stepMs: median(times.slice(Math.min(2, steps - 1))), loss: last.loss, hash };
}

/**
 * Trains until the test set is classified well enough, looking every `every` steps; the looks are not timed.
 * @returns for each target the seconds and steps that it took, or null where the run ended before
 */
export async function timeToAccuracy(backend, config, data, targets, every) {
  const trainer = await NoiseStepTrainer.create(config, data.train, backend);
  const judge = await backend.place(trainer.graph, { batch: 1000 });
  const reached = targets.map((target) => ({ target, seconds: null, steps: null, accuracy: null }));
  let seconds = 0;
  while (trainer.step < config.steps && reached.some((one) => one.seconds === null)) {
    const begun = performance.now();
    for (let i = 0; i < every && trainer.step < config.steps; i++) await trainer.next();
    seconds += (performance.now() - begun) / 1000;
    await judge.writeWeights(await trainer.placed.readWeights());
    const accuracy = await accuracyOn(judge, data.test);
    for (const one of reached) {
      if (one.seconds === null && accuracy >= one.target)
        Object.assign(one, { seconds, steps: trainer.step, accuracy });
    }
  }
  await judge.release();
  await trainer.placed.release();
  return reached;
}

async function accuracyOn(placed, { inputs, labels, count, width }) {
  let right = 0;
  for (let first = 0; first < count; first += placed.batchMax) {
    const end = Math.min(count, first + placed.batchMax);
    placed.load({
      inputs: inputs.subarray(first * width, end * width),
      labels: labels.subarray(first, end),
      length: 1,
    });
    const { predictions } = await placed.evaluate();
    predictions.forEach((guess, i) => (right += guess === labels[first + i]));
  }
  return right / count;
}

/** A pool of random coefficients for a model, as a file; its hash is not known. */
export function poolFile(model, directions) {
  const header = {
    ...{
      kind: 'pool',
      model,
      centred: true,
      gain: 25,
      logitScale: 10,
      key: '0123456789abcdef',
      cut: 0,
      directions,
    },
    ...{ config: {}, data: { name: 'none', hash: '' } },
  };
  const count = directions.reduce((sum, one) => sum + one, 0);
  const coefficients = Int16Array.from(
    { length: count },
    (_, i) => ((Math.imul(i + 1, 2654435761) >>> 16) % 5) - 2,
  );
  return encodeSeedPool(header, coefficients, { steps: 1, weightsHash: '0'.repeat(64) });
}

/** Seconds to rebuild the weights of an artifact, and their hash. */
export async function replayTime(backend, bytes, runs) {
  const artifact = openArtifact(bytes);
  const times = [];
  let weights;
  for (let run = 0; run < runs; run++) {
    const begun = performance.now();
    weights = await rebuild(artifact, backend);
    times.push((performance.now() - begun) / 1000);
  }
  return { seconds: median(times), hash: await weightsHash(weights) };
}

async function digest(values) {
  const bytes = await globalThis.crypto.subtle.digest('SHA-256', values);
  return Buffer.from(bytes).toString('hex');
}
