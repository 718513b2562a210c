// Every kernel of the webgpu backend by itself: its time, the operations and bytes that it cannot do
// without, and the share of the device's ceilings that it reaches. Bytes count each input and output
// once; kernels whose work is neither products nor bytes have no share.

import { recordForward, recordLinear, recordNormalize } from '../../dist/src/backend/webgpu/forward.js';
import { recordAlign, recordProbes } from '../../dist/src/backend/webgpu/nodes.js';
import { recordInit, recordPool, recordStep } from '../../dist/src/backend/webgpu/updates.js';
import { Workspace } from '../../dist/src/backend/webgpu/workspace.js';
import { directionSet } from '../../dist/src/random/directions.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';

const KEY = [1, 2];
const PROBES = { key: KEY, step: 1, probes: 4, sigma: 51, rewardShift: 5 };

/** Seconds of what `record` adds to a recorder, the median of five rounds that each take long enough. */
async function timed({ recorder, device }, record, leastSeconds) {
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

/** A network of one shape in device memory with random inputs, trits and labels. */
function spaceOf(device, widths, batch, room) {
  const network = networkOf(widths, { centred: true, gain: 25, logitScale: 10 });
  const space = new Workspace(device, network, { batch, ...room });
  const { queue } = device.device;
  const words = (count, word) =>
    Uint32Array.from({ length: count }, (_, i) => word(Math.imul(i + 1, 2654435761)));
  const fill = (buffer, word) => queue.writeBuffer(buffer.buffer, 0, words(buffer.bytes / 4, word));
  fill(space.inputs, (noise) => noise & 0x7f7f7f7f);
  fill(space.labels, () => 0);
  recordInit(space, KEY, 0);
  space.recorder.submit();
  return space;
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
    const space = spaceOf(device, [...widths, 10], batch, {});
    const [inputs, units] = widths;
    const rowsAtOnce = Math.min(batch, space.plan.tile);
    const product = () => {
      for (let first = 0; first < batch; first += rowsAtOnce) {
        recordLinear(space, 0, space.inputs, space.layers[0].z, first, Math.min(rowsAtOnce, batch - first));
      }
    };
    const shape = `${batch} × ${inputs} → ${units}`;
    const seconds = await timed(space, product, leastSeconds);
    add(
      'linear',
      shape,
      seconds,
      2 * batch * inputs * units,
      batch * inputs + (units * inputs) / 4 + 4 * batch * units,
    );
    const normalize = () =>
      recordNormalize(space, 0, space.layers[0].z, space.layers[0].scales, space.layers[0].x, rowsAtOnce);
    add(
      'normalize',
      `${rowsAtOnce} × ${units}`,
      await timed(space, normalize, leastSeconds),
      0,
      5 * rowsAtOnce * units,
    );
    space.release();
  }
  for (const { widths, batch, pool } of steps) {
    const space = spaceOf(device, widths, batch, { probes: PROBES.probes, weights: true });
    const shape = `${widths.join('-')}, batch ${batch}`;
    const tile = { first: 0, rows: Math.min(batch, space.plan.tile) };
    const [inputs, units] = widths;
    const { parameters, tensors } = space.network;
    const forwardOperations = 2 * tile.rows * parameters;
    const forwardBytes = tile.rows * (inputs + 10 * widths.slice(1).reduce((sum, width) => sum + width, 0));
    add(
      'forward pass',
      `${shape}: ${tile.rows}`,
      await timed(space, () => recordForward(space, tile), leastSeconds),
      forwardOperations,
      forwardBytes,
    );
    const above = parameters - inputs * units;
    add(
      'probes of layer 0: signs, disturb, forward, rewards, errors',
      `${shape}: ${tile.rows} × ${2 * PROBES.probes}`,
      await timed(space, () => recordProbes(space, 0, tile, batch, PROBES), leastSeconds),
      2 * tile.rows * 2 * PROBES.probes * above,
      tile.rows * units * (4 + 2 * PROBES.probes * 6 + 2),
    );
    const size = inputs * units;
    const set = directionSet({
      key: KEY,
      step: 0,
      group: 0,
      offset: 0,
      size,
      directions: Math.min(size, pool),
      touched: size,
    });
    const alignments = space.growing('alignments', 4 * set.directions);
    // δ̂ is a product of its high and of its low byte.
    add(
      'align',
      shape,
      await timed(space, () => recordAlign(space, set, 0, batch, alignments), leastSeconds),
      2 * 2 * batch * size,
      batch * (inputs + 2 * units) + 4 * set.directions,
    );
    const coefficients = space.growing('coefficients', 2 * pool * tensors.length);
    add(
      'pool: gather',
      `${parameters} weights`,
      await timed(space, () => recordPool(space, [set], coefficients, 0), leastSeconds),
      0,
      1.25 * size + 2 * set.directions,
    );
    const step = directionSet({
      key: KEY,
      step: 1,
      group: tensors.length,
      offset: 0,
      size: parameters,
      directions: 128,
      touched: Math.min(parameters, 2048),
    });
    add(
      'log step: scatter',
      `${step.touched} of ${parameters} weights`,
      await timed(space, () => recordStep(space, step, coefficients, 0), leastSeconds),
      0,
      step.touched * 5,
    );
    add(
      'initial latents',
      `${parameters} weights`,
      await timed(space, () => recordInit(space, KEY, 0), leastSeconds),
      0,
      1.25 * parameters,
    );
    space.release();
  }
  return rows;
}
