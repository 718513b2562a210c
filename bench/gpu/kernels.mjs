// Every kernel of the webgpu backend by itself: its time, the operations and bytes that it cannot do
// without, and the share of the device's ceilings that it reaches. Bytes count each input and output
// once; kernels whose work is neither products nor bytes have no share.

import { recipesOf } from '../../dist/src/ops/webgpu.js';
import * as nodes from '../../dist/src/backend/webgpu/nodes.js';
import { WebgpuPlaced } from '../../dist/src/backend/webgpu/placed.js';
import { directionSet } from '../../dist/src/random/directions.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';

const KEY = [1, 2];
const PROBES = { key: KEY, step: 1, probes: 4, sigma: 51, rewardShift: 5 };

/** Seconds of what `record` adds to a recorder, the median of five rounds that each take long enough. */
async function timed({ space: { recorder }, device }, record, leastSeconds) {
  const { queue } = device.device;
  const run = async (repetitions) => {
    const begun = performance.now();
    for (let i = 0; i < repetitions; i++) record();
    recorder.submit();
    await queue.onSubmittedWorkDone();
    device.check();
    return (performance.now() - begun) / 1000;
  };
  await run(1); // compiles
  let repetitions = 1;
  while ((await run(repetitions)) < leastSeconds && repetitions < 512) repetitions *= 2;
  const rounds = [];
  for (let round = 0; round < 5; round++) rounds.push((await run(repetitions)) / repetitions);
  return rounds.sort((a, b) => a - b)[2];
}

/** A perceptron of one shape on the device with random inputs and trits. */
async function placedOf(device, widths, batch, probes) {
  const graph = networkOf(widths, { centred: true, gain: 25, logitScale: 10 });
  const recipes = await recipesOf(graph);
  const estimators = { nodes: probes ? nodes : null, trials: null };
  const placed = new WebgpuPlaced(device, graph, { batch, probes }, recipes, estimators, () => {});
  const inputs = Uint8Array.from(
    { length: batch * widths[0] },
    (_, i) => Math.imul(i + 1, 2654435761) >>> 25,
  );
  placed.load({ inputs, labels: new Uint8Array(batch), length: 1 });
  await placed.initLatents(KEY, 0);
  return placed;
}

/** Rows first… of the batch. */
function part(first, rows) {
  return { rows, examples: rows, first, length: 1, start: 0, kind: 'batch' };
}

/**
 * @param device - a WebgpuDevice
 * @param ceilings - { dotRate, bandwidth }, of which the first may be null
 * @param shapes - [{ widths: [N, M], batch }] for the product
 * @param steps - [{ name, widths, batch, pool }] for everything else
 * @returns a row for every kernel and shape
 */
export async function kernelRows(device, { dotRate, bandwidth }, { shapes, steps, leastSeconds }) {
  const rows = [];
  const add = (kernel, shape, seconds, operations, bytes) => {
    const floor = Math.max(dotRate && operations ? operations / dotRate : 0, bytes / bandwidth);
    rows.push({
      ...{ kernel, shape, seconds, operations, bytes },
      operationsPerSecond: operations / seconds,
      bytesPerSecond: bytes / seconds,
      ofDotRate: dotRate && operations ? operations / seconds / dotRate : null,
      ofFloor: floor / seconds,
    });
  };
  for (const { widths, batch } of shapes) {
    const placed = await placedOf(device, [...widths, 10], batch);
    const [inputs, units] = widths;
    const atOnce = Math.min(batch, placed.plan.rows);
    const product = () => {
      for (let first = 0; first < batch; first += atOnce) {
        placed.forward.record(0, part(first, Math.min(atOnce, batch - first)));
      }
    };
    add(
      'linear',
      `${batch} × ${inputs} → ${units}`,
      await timed(placed, product, leastSeconds),
      2 * batch * inputs * units,
      batch * inputs + (units * inputs) / 4 + 4 * batch * units,
    );
    const normalize = () => placed.forward.record(1, part(0, atOnce));
    const seconds = await timed(placed, normalize, leastSeconds);
    add('normalize', `${atOnce} × ${units}`, seconds, 0, 5 * atOnce * units);
    await placed.release();
  }
  for (const { widths, batch, pool } of steps) {
    const placed = await placedOf(device, widths, batch, PROBES.probes);
    const { parameters, tensors } = placed.graph;
    const [inputs, units] = widths;
    const { rows: atOnce } = placed.plan;
    const all = part(0, Math.min(batch, atOnce));
    const shape = `${widths.join('-')}, batch ${batch}`;
    add(
      'forward pass',
      `${shape}: ${all.rows}`,
      await timed(placed, () => placed.forward.recordAll(all), leastSeconds),
      2 * all.rows * parameters,
      all.rows * (inputs + 10 * widths.slice(1).reduce((sum, width) => sum + width, 0)),
    );
    const size = inputs * units;
    const setOf = (changes) => directionSet({ key: KEY, step: 0, group: 0, offset: 0, size, ...changes });
    const set = setOf({ directions: Math.min(size, pool), touched: size });
    const first = placed.nodes.sites.after.flat().find(({ index }) => index === 0);
    const above = parameters - size;
    add(
      'probes of layer 0: signs, disturb, forward, rewards, errors',
      `${shape}: ${all.rows} × ${2 * PROBES.probes}`,
      await timed(placed, () => placed.nodes.probe(first, all, PROBES, 100), leastSeconds),
      2 * all.rows * 2 * PROBES.probes * above,
      all.rows * units * (4 + 2 * PROBES.probes * 6 + 2),
    );
    const alignments = placed.space.growing('alignments', set.directions);
    // δ̂ is a product of its high and of its low byte.
    add(
      'align',
      `${shape}: ${all.rows}`,
      await timed(placed, () => placed.nodes.align(first, all, alignments, { set, first: 0 }), leastSeconds),
      2 * 2 * all.rows * size,
      all.rows * (inputs + 2 * units) + 4 * set.directions,
    );
    const coefficients = new Int16Array(set.directions);
    add(
      'pool: gather',
      `${size} weights`,
      await timed(placed, () => placed.store.pool([set], coefficients), leastSeconds),
      0,
      1.25 * size + 2 * set.directions,
    );
    const step = setOf({
      ...{ step: 1, group: tensors.length, size: parameters },
      ...{ directions: 128, touched: Math.min(parameters, 2048) },
    });
    add(
      'log step: scatter',
      `${step.touched} of ${parameters} weights`,
      await timed(placed, () => placed.store.step(step, new Int8Array(128)), leastSeconds),
      0,
      step.touched * 5,
    );
    add(
      'initial latents',
      `${parameters} weights`,
      await timed(placed, () => placed.store.init(KEY, 0), leastSeconds),
      0,
      1.25 * parameters,
    );
    await placed.release();
  }
  return rows;
}
