/** Artifacts of chains of layers, for those who take no others: exports of layers, and what shows them. */

import { ArtifactError } from '../errors.js';
import type { LayersDescription, Network } from '../ternary/builders/perceptron.js';
import type { Artifact, Opened } from './artifact.js';
import { PREAMBLE_BYTES } from './container.js';
import type { Header } from './header.js';

/** The header of a perceptron's artifact. */
export type PerceptronHeader = Header & LayersDescription;

/** An artifact of a perceptron; the others are of transformers. */
export type PerceptronArtifact = OfPerceptron<Artifact>;

type OfPerceptron<Any> = Any & { readonly network: Network; readonly header: PerceptronHeader };

/**
 * An artifact for whoever takes perceptrons alone.
 * @throws {ArtifactError} when it is of another model
 */
export function perceptronArtifact<Any extends Pick<Opened, 'network'>>(artifact: Any): OfPerceptron<Any> {
  if (isOfPerceptron(artifact)) return artifact;
  throw new ArtifactError(
    `header at byte ${PREAMBLE_BYTES}: expected a perceptron, got ${artifact.network.name}`,
  );
}

/** Whether an artifact is that of a perceptron. */
export function isOfPerceptron<Any extends Pick<Opened, 'network'>>(
  artifact: Any,
): artifact is OfPerceptron<Any> {
  return 'layers' in artifact.network && artifact.network.rows === 'examples';
}
