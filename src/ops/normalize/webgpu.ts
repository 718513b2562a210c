/**
 * `normalize` + ReLU, a workgroup or a thread a row: the sum of the pre-activations, the sum of their
 * distances from the mean, then the activations, four to a word. A row is read three times; it
 * stays in the cache. op.ts defines it.
 */

import { type Features, kernel, read, type Storage, write } from '../../backend/webgpu/kernels/kernel.js';
import {
  reduction,
  reductionEnables,
  rowGroups,
  rowMain,
  sharingOf,
} from '../../backend/webgpu/kernels/reduce.js';
import { ROUNDING } from '../../backend/webgpu/kernels/rounding.js';
import { packedWords } from '../../backend/webgpu/plan.js';
import type { Recipe } from '../../backend/webgpu/recipe.js';
import type { Attributes } from '../../ternary/graph.js';
import { ACTIVATION_MAX } from '../../ternary/units.js';
import { RECIPROCAL_BITS } from './op.js';

/** What a kernel has of its own that normalizes rows. */
interface Normalizing<Buffer extends string, Param extends string> {
  readonly name: string;
  readonly params: readonly Param[];
  readonly buffers: Readonly<Record<Buffer, Storage>>;
  /** `preactivation(row, unit)`, and what it reads. */
  readonly preactivation: string;
  /** What is done with a `row`; `normalizeRow(row, member)` gives its activations, and `meanAbs`. */
  readonly main: string;
}

/** A kernel that normalizes rows of so many units. Workgroups: `rowGroups`. */
export function normalizingKernel<const Buffer extends string, const Param extends string>(
  units: number,
  attributes: Attributes['normalize'],
  features: Features,
  { name, params, buffers, preactivation, main }: Normalizing<Buffer, Param>,
) {
  const sharing = sharingOf(units);
  return kernel({
    ...{ name, params, buffers },
    enables: reductionEnables(features, sharing.alone),
    code: [
      ROUNDING,
      reduction(sharing, features),
      preactivation,
      activations(units, attributes),
      rowMain(sharing, main),
    ],
  });
}

/** Row r of `z` gives row r of `x` and its mean absolute value. */
function normalizeKernel(units: number, attributes: Attributes['normalize'], features: Features) {
  return normalizingKernel(units, attributes, features, {
    name: 'normalize',
    params: ['rows'],
    buffers: { z: read('array<i32>'), scales: write('array<u32>'), x: write('array<u32>') },
    preactivation: `fn preactivation(row: u32, unit: u32) -> i32 { return z[row * ${units}u + unit]; }`,
    main: '  normalizeRow(row, member);\n  if (member == 0u) { scales[row] = meanAbs; }',
  });
}

/** `normalizeRow` of what `preactivation(row, unit)` gives: activations in `x`, the mean absolute value in `meanAbs`. */
function activations(units: number, { centred, gain }: Attributes['normalize']): string {
  const outputWords = packedWords(units);
  const mean = centred ? `roundDiv(sumOfGroup(sum, member), ${units}u)` : '0';
  return `
var<private> meanAbs: u32;
fn normalizeRow(row: u32, member: u32) {
  var sum = 0;
  ${centred ? `for (var unit = member; unit < ${units}u; unit += MEMBERS) { sum += preactivation(row, unit); }` : ''}
  let mean = ${mean};
  var distance = 0; // Σ |z − mean| < 2^31, see op.ts
  for (var unit = member; unit < ${units}u; unit += MEMBERS) { distance += abs(preactivation(row, unit) - mean); }
  meanAbs = u32(max(1, roundDiv(sumOfGroup(distance, member), ${units}u)));
  let reciprocal = (${gain}u * ${2 ** RECIPROCAL_BITS}u + (meanAbs >> 1u)) / meanAbs;
  let limit = i32((${ACTIVATION_MAX}u * meanAbs) / ${gain}u + 1u); // 127·508·65535 < 2^32
  for (var word = member; word < ${outputWords}u; word += MEMBERS) {
    var bytes = 0u;
    for (var place = 0u; place < 4u; place++) {
      let unit = 4u * word + place;
      if (unit < ${units}u) {
        let clipped = u32(clamp(preactivation(row, unit) - mean, 0, limit));
        let q = min(${ACTIVATION_MAX}u, (clipped * reciprocal + ${2 ** (RECIPROCAL_BITS - 1)}u) >> ${RECIPROCAL_BITS}u);
        bytes |= q << (8u * place);
      }
    }
    x[row * ${outputWords}u + word] = bytes;
  }
}`;
}

export const normalize: Recipe<'normalize'> = {
  record({ attributes, inputs: [sums] }, at): void {
    const { width } = at.graph.slots[sums];
    at.recorder.run(
      `normalize ${width} ${JSON.stringify(attributes)}`,
      () => normalizeKernel(width, attributes, at.device.features),
      { z: at.input(0).buffer, scales: at.kept('scales', 1), x: at.output(0).buffer },
      { rows: at.rows },
      rowGroups(width, at.rows),
    );
  },
};
