/**
 * The same weights in another form. What a log or packed trits come to can be said as a pool with a direction for
 * every weight, whose coefficient is how far the weight went from its initial draw: small where few weights moved.
 */

import { poolSets, weightsOfDirection, Signs } from '../random/directions.js';
import { initLatents, latentOf, tritOf } from '../random/latents.js';
import { isTernary } from '../ternary/network.js';
import { type Artifact, encodePacked, encodeSeedPool, isOfPerceptron } from './artifact.js';
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
  if (!isOfPerceptron(artifact) || !isTernary(artifact.network)) {
    return { kind: 'pool', bytes: null, note: 'pools are for ternary perceptrons' };
  }
  const { network, header } = artifact;
  const { cut } = header;
  const start = requireBase(artifact, base);
  const key = parseKey(header.key);
  const latents = new Int8Array(network.parameters);
  network.tensors.forEach(({ offset, rows, columns }, tensor) => {
    const part = latents.subarray(offset, offset + rows * columns);
    if (start) part.set(start.subarray(offset, offset + part.length).map((trit) => latentOf(trit, cut)));
    else initLatents(key, tensor, cut, part);
  });
  const directions = network.tensors.map(({ rows, columns }) => rows * columns);
  const coefficients: number[] = [];
  for (const set of poolSets(network.tensors, key, directions)) {
    const signs = new Signs(set);
    for (let k = 0; k < set.directions; k++) {
      const [index] = weightsOfDirection(set, k, 1);
      const latent = latents[set.offset + index];
      coefficients.push(leastMove(latent, weights[set.offset + index], cut) * signs.at(index));
    }
  }
  const bytes = encodeSeedPool({ ...header, directions }, Int16Array.from(coefficients), artifact);
  return { kind: 'pool', bytes, note: 'a coefficient for every weight' };
}

/** The shortest way of a latent to a trit. */
function leastMove(latent: number, trit: number, cut: number): number {
  if (tritOf(latent, cut) === trit) return 0;
  if (trit !== 0) return trit * (cut + 1) - latent;
  return (latent > 0 ? cut : -cut) - latent;
}
