/**
 * `normalize` + ReLU, a workgroup or a thread a row: the sum of the pre-activations, the sum of their
 * distances from the mean, then the activations, four to a word. A row is read three times; it
 * stays in the cache. `disturbed` rows are the examples' own pre-activations with a probe added
 * or subtracted: two rows a probe, see docs/arithmetic.md.
 */

import type { Network } from '../../../ternary/builders/perceptron.js';
import { ACTIVATION_MAX } from '../../../ternary/units.js';
import { RECIPROCAL_BITS } from '../../../ops/normalize/op.js';
import type { LayerPlan } from '../plan.js';
import { type Features, type Kernel, kernel, read, write } from './kernel.js';
import { reduction, reductionEnables, rowMain, sharingOf } from './reduce.js';
import { ROUNDING } from './rounding.js';

type Options = Pick<Network, 'centred' | 'gain'>;

/** Row r of `z` gives row r of `x` and its mean absolute value. Workgroups: `rowGroups`. */
export function normalizeKernel(
  layer: LayerPlan,
  options: Options,
  features: Features,
): Kernel<'z' | 'scales' | 'x', 'rows'> {
  const sharing = sharingOf(layer.units);
  return kernel({
    name: 'normalize',
    params: ['rows'],
    buffers: { z: read('array<i32>'), scales: write('array<u32>'), x: write('array<u32>') },
    enables: reductionEnables(features, sharing.alone),
    code: [
      ROUNDING,
      reduction(sharing, features),
      `fn preactivation(row: u32, unit: u32) -> i32 { return z[row * ${layer.units}u + unit]; }`,
      activations(layer, options),
      rowMain(sharing, '  normalizeRow(row, member);\n  if (member == 0u) { scales[row] = meanAbs; }'),
    ],
  });
}

/**
 * Row `(example · probes + probe) · 2 + side` of `x` from the pre-activations of an example, its
 * scale and the signs of its probes.
 * Workgroups: `rowGroups` of 2 · examples · probes.
 */
export function disturbKernel(
  layer: LayerPlan,
  options: Options,
  features: Features,
): Kernel<'z' | 'scales' | 'signs' | 'x', 'rows' | 'firstProbe' | 'probes' | 'sigma'> {
  const { units } = layer;
  const sharing = sharingOf(layer.units);
  return kernel({
    name: 'disturb',
    params: ['rows', 'firstProbe', 'probes', 'sigma'],
    buffers: {
      z: read('array<i32>'),
      scales: read('array<u32>'),
      signs: read('array<u32>'),
      x: write('array<u32>'),
    },
    enables: reductionEnables(features, sharing.alone),
    code: [
      ROUNDING,
      reduction(sharing, features),
      `
var<private> example: u32;
var<private> probe: u32;
var<private> amplitude: i32; // of the side: + for even rows, − for odd ones
fn preactivation(row: u32, unit: u32) -> i32 {
  let at = example * ${units}u + unit;
  let sign = signs[at];
  let isActive = i32((sign >> 16u) & 1u);
  let negative = i32((sign >> probe) & 1u);
  return z[at] + amplitude * isActive * (1 - 2 * negative);
}`,
      activations(layer, options),
      rowMain(
        sharing,
        `
  let pair = row / 2u;
  example = pair / params.probes;
  probe = (params.firstProbe + pair % params.probes) & 15u;
  // meanAbs ≤ 127·N, so the product stays below 2^31.
  amplitude = max(1, roundShift(i32(scales[example] * params.sigma), 8u)) * (1 - 2 * i32(row & 1u));
  normalizeRow(row, member);`,
      ),
    ],
  });
}

/** `normalizeRow`: leaves activations in `x`, and the mean absolute value in `meanAbs`. */
function activations({ units, outputWords }: LayerPlan, { centred, gain }: Options): string {
  const mean = centred ? `roundDiv(sumOfGroup(sum, member), ${units}u)` : '0';
  return `
var<private> meanAbs: u32;
fn normalizeRow(row: u32, member: u32) {
  var sum = 0;
  ${centred ? `for (var unit = member; unit < ${units}u; unit += MEMBERS) { sum += preactivation(row, unit); }` : ''}
  let mean = ${mean};
  var distance = 0; // Σ |z − mean| < 2^31, see networkOf
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
