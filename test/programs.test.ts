/**
 * Programs of no architecture that there is a builder of: backends that execute programs compute what the reference
 * does, whatever the operations and their order.
 */

import { describe, expect, it } from 'vitest';
import type { Placed } from '../src/backend/backend.js';
import { limitsOf } from '../src/ops/bounds.js';
import { directionSet, poolSets } from '../src/random/directions.js';
import { type Graph, GraphBuilder, type Probe } from '../src/ternary/graph.js';
import type { Tensor } from '../src/ternary/model.js';
import type { Values } from '../src/ternary/precision.js';
import { allBackends, reference } from './support/backends.js';

const CONTEXT = 40;
const CLASSES = 7;

/** Bytes that are embedded, read as i8, then as u7 by a matrix that is applied `times` times over. */
function mixed(rows: Graph['rows'], width: number, times: number): Graph {
  const tensors: Tensor[] = [];
  let parameters = 0;
  const tensor = (name: string, values: Values, units: number, columns: number) => {
    tensors.push({ name, values, rows: units, columns, offset: parameters });
    parameters += units * columns;
    return tensors.length - 1;
  };
  const [bytes, narrow, square, head] = [
    tensor('bytes', 'int8', 256, width),
    tensor('narrow', 'trit', width, width),
    tensor('square', 'trit', width, width),
    tensor('head', 'trit', CLASSES, width),
  ];
  const scales = tensor('scales', 'scale', 1, 2);
  const sums = { kind: 'i32', width } as const;
  const probe = (site: number, active: number | null, size: Probe['size']): Probe => {
    return { site, active, size, horizon: site === 0 };
  };
  const program = new GraphBuilder({ kind: 'byte', width: 1 });
  const embedded = program.add(
    'embedding',
    [program.input],
    [sums],
    { scale: 0 },
    {
      ...{ tensors: [bytes], probe: probe(0, null, 'magnitude') },
    },
  );
  let [x] = program.add('rescale', embedded, [sums], { scale: 0, to: 'i32' }, { tensors: [scales] });
  [x] = program.add('rms-norm', [x], [{ kind: 'i8', width }], {});
  for (let time = 0; time <= times; time++) {
    const own = {
      tensors: [time === 0 ? narrow : square],
      probe: probe(1 + time, program.next + 1, 'centred magnitude'),
    };
    const [z] = program.add('linear', [x], [sums], { shift: 0 }, own);
    [x] = program.add('normalize', [z], [{ kind: 'u7', width }], { centred: true, gain: 30 });
  }
  const last = { tensors: [head], probe: 'exact' } as const;
  const [logits] = program.add('linear', [x], [{ kind: 'i32', width: CLASSES }], { shift: 0 }, last);
  program.end(logits, 100);
  return {
    ...program.parts,
    ...{ tensors, parameters, rows, name: 'mixed', description: {}, scaling: null },
    ...{ context: rows === 'examples' ? 1 : CONTEXT, applications: times, fanIns: tensors.map(() => 1) },
    initial: ['drawn', 'drawn', 'drawn', 'zeros', Int8Array.of(90, 6)],
  };
}

const shapes = [
  ['examples', 48, 1],
  ['examples', 33, 2],
  ['positions', 48, 1],
  ['positions', 21, 3],
] as const;

describe.each(allBackends)('%s', (name, open) => {
  // A software adapter compiles kernels for every shape: the odd ones.
  const run = shapes.filter(([, width]) => !name.startsWith('webgpu') || width % 2 === 1);
  it.each(run)('runs a program on %s, %i wide, a matrix %i times over', async (rows, width, times) => {
    const graph = mixed(rows, width, times);
    limitsOf(graph);
    const length = rows === 'examples' ? 1 : CONTEXT - 3;
    const room = { batch: rows === 'examples' ? 45 : 3, probes: 5 };
    const count = room.batch * length;
    const inputs = Uint8Array.from({ length: count }, (_, i) => (i * 37 + (i >> 3)) & 255);
    const labels = inputs.map((byte) => (byte * 5) % CLASSES);
    const backend = await open();
    const [mine, right] = [await backend.place(graph, room), await reference.place(graph, room)];
    const both = async <Result>(work: (on: Placed) => Promise<Result>) => {
      expect(await work(mine)).toEqual(await work(right));
    };
    const sets = poolSets(
      graph.tensors,
      [7, 8],
      graph.tensors.map(({ rows: units }) => units),
    );
    const coefficients = Int16Array.from(
      { length: sets.reduce((sum, set) => sum + set.directions, 0) },
      (_, i) => {
        return ((i * 11) % 9) - 4;
      },
    );
    for (const on of [mine, right]) {
      on.load({ inputs, labels, length });
      await on.initLatents([1, 2], 3);
      await on.applyPool(sets, coefficients);
    }
    await both((on) => on.readWeights());
    await both((on) => on.evaluate());
    await both((on) => on.logits());
    const probes = { key: [3, 4], step: 2, probes: 5, sigma: 80, rewardShift: 3, horizon: 2 } as const;
    await both((on) => on.align(probes));
    await both((on) => on.align(probes, sets));
    await both((on) => on.align(probes, sets.slice(1, 3)));
    if (rows === 'positions')
      for (const byte of inputs.subarray(0, CONTEXT)) await both((on) => on.next(byte));
    const whole = { key: [5, 6] as const, group: graph.tensors.length, offset: 0, size: graph.parameters };
    const base = await right.readWeights();
    for (const directions of [9, 2000]) {
      const set = directionSet({ ...whole, step: directions, directions, touched: 2 * directions });
      const steps = Int8Array.from({ length: directions }, (_, i) => ((i * 7) % 3) - 1);
      for (const on of [mine, right]) {
        await on.startLatents(base, 3);
        await on.applyStep(set, steps);
      }
      await both((on) => on.readWeights());
    }
    await both((on) => on.evaluate());
    await backend.close();
  });
});
