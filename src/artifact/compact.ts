/**
 * The same weights in another form. What a log or packed trits come to can be said as a pool with a direction for
 * every weight, whose coefficient is how far the weight went from its initial draw: small where few weights moved.
 */

import { poolSets, weightsOfDirection, Signs } from '../random/directions.js';
import { coefficientLimit } from '../random/latents.js';
import type { Tensor } from '../ternary/model.js';
import { firstLatents, latentsOfValues, partOf, valueOfLatent } from '../backend/latents.js';
import { type Artifact, encodePacked, encodeSeedPool } from './artifact.js';
import { differences, requireBase } from './delta.js';
import { parseKey } from './header.js';

/** A form that an artifact can have, with what it costs. */
export interface Form {
  readonly kind: Artifact['kind'];
  /** The whole file; null where the weights cannot be said so. */
  readonly bytes: Uint8Array | null;
  /** Why they cannot, or how they are. */
  readonly note: string;
}

/**
 * All forms of an artifact that rebuild to the same weights, its own among them.
 * @param file - the artifact's own bytes
 * @param weights - what it rebuilds to
 * @param base - of a delta, the weights of its base; the other forms are deltas on it, too
 */
export function formsOf(artifact: Artifact, file: Uint8Array, weights: Int8Array, base?: Int8Array): Form[] {
  const { kind, network, header } = artifact;
  const values = base ? differences(network, base, weights) : weights;
  const packed: Form = {
    kind: 'packed',
    bytes: encodePacked(header, values, artifact),
    note: 'the weights themselves',
  };
  const log: Form = { kind: 'log', bytes: null, note: 'the steps are not in the file' };
  const own: Form = { kind, bytes: file, note: 'as it is' };
  return [own, ...[log, poolForm(artifact, weights, base), packed].filter((form) => form.kind !== kind)];
}

/** The smallest of some forms. */
export function smallestOf(forms: readonly Form[]): Form & { readonly bytes: Uint8Array } {
  const possible = forms.filter((form): form is Form & { bytes: Uint8Array } => form.bytes !== null);
  return possible.reduce((best, form) => (form.bytes.length < best.bytes.length ? form : best));
}

function poolForm(artifact: Artifact, weights: Int8Array, base: Int8Array | undefined): Form {
  const { network, header } = artifact;
  const { initial, tensors } = network;
  if (typeof initial === 'string') return { kind: 'pool', bytes: null, note: initial };
  const { cut } = header;
  const start = requireBase(artifact, base);
  const key = parseKey(header.key);
  const directions = tensors.map(({ rows, columns }, i) =>
    typeof initial[i] === 'string' ? rows * columns : 0,
  );
  const coefficients: number[] = [];
  for (const set of poolSets(tensors, key, directions)) {
    const tensor = tensors[set.group];
    const signs = new Signs(set);
    let latents: Int8Array = new Int8Array(set.size);
    if (start) latents = latentsOfValues(tensor, partOf(start, tensor), cut);
    else firstLatents(network, set.group, key, cut, latents);
    for (let k = 0; k < set.directions; k++) {
      const [index] = weightsOfDirection(set, k, 1);
      const move = leastMove(tensor, latents[index], weights[set.offset + index], cut);
      coefficients.push(move * signs.at(index));
    }
  }
  const limit = coefficientLimit(cut);
  if (coefficients.some((coefficient) => Math.abs(coefficient) > limit)) {
    return { kind: 'pool', bytes: null, note: `a weight moved by more than ${limit}` };
  }
  const bytes = encodeSeedPool({ ...header, directions }, Int16Array.from(coefficients), artifact);
  return { kind: 'pool', bytes, note: 'a coefficient for every weight' };
}

/** The shortest way of a latent of a tensor to what stands for a value. */
function leastMove(tensor: Tensor, latent: number, value: number, cut: number): number {
  if (valueOfLatent(tensor, latent, cut) === value) return 0;
  if (tensor.values !== 'trit') return value - latent;
  if (value !== 0) return value * (cut + 1) - latent;
  return (latent > 0 ? cut : -cut) - latent;
}
