// All entry points, each as often as its share says.

import { artifactEntries, checkRightFiles, close as closeArtifacts } from './artifact-entries.mjs';
import { Choices } from './choices.mjs';
import { dataEntries } from './data-entries.mjs';
import { runEntries } from './run-entries.mjs';
import { close as closeSources, sourceEntries } from './source-entries.mjs';

export const entries = [...artifactEntries, ...sourceEntries, ...runEntries, ...dataEntries];
const shares = entries.reduce((sum, { share }) => sum + share, 0);

/** Input `index` of a seed: its entry point, kind and bytes, and the check that gives an outcome. */
export function makeInput(seed, index) {
  const choices = new Choices(seed, index);
  let at = choices.to(shares);
  const entry = entries.find(({ share }) => (at -= share) < 0);
  return { entry: entry.name, ...entry.make(choices) };
}

export const checkSamples = () => checkRightFiles(new Choices(1, 1));

export async function close() {
  closeSources();
  await closeArtifacts();
}
