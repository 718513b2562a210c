/**
 * A data set of 6×6 images in four classes that a network of some hundred weights learns in a
 * few steps: each class is a pattern of black and white, disturbed by noise. The same bytes always.
 */

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TrainingSet } from '../../src/data/batches.js';

const CLASSES = 4;
const PIXELS = 36;

/** Numerical Recipes' linear congruential generator; its upper byte is random enough for pixels. */
function randomBytes(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  };
}

/** Images as bytes, [count, 36], with their labels. */
function images(count: number, seed: number): { pixels: Uint8Array; labels: Uint8Array } {
  const draw = randomBytes(1);
  const patterns = Array.from({ length: CLASSES * PIXELS }, () => (draw() < 128 ? 40 : 215));
  const noise = randomBytes(seed);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % CLASSES);
  const pixels = Uint8Array.from({ length: count * PIXELS }, (_, i) => {
    const label = labels[Math.floor(i / PIXELS)] as number;
    const level = patterns[label * PIXELS + (i % PIXELS)] as number;
    return Math.max(0, Math.min(255, level + noise() - 128));
  });
  return { pixels, labels };
}

const TRAIN = images(600, 2);
const TEST = images(200, 3);

/** The training images as a trainer takes them. */
export const tinyTrainingSet: TrainingSet = {
  inputs: TRAIN.pixels.map((pixel) => pixel >> 1),
  labels: TRAIN.labels,
  count: TRAIN.labels.length,
  width: PIXELS,
};

/**
 * Writes the four IDX files, of 600 training and 200 test images.
 * @param directory - made if it is not there
 */
export async function writeTinyData(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [stem, { pixels, labels }] of Object.entries({ train: TRAIN, t10k: TEST })) {
    await writeFile(join(directory, `${stem}-images-idx3-ubyte`), idx([labels.length, 6, 6], pixels));
    await writeFile(join(directory, `${stem}-labels-idx1-ubyte`), idx([labels.length], labels));
  }
}

function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  return Uint8Array.of(
    0,
    0,
    8,
    shape.length,
    ...shape.flatMap((size) => [0, 0, size >> 8, size & 255]),
    ...data,
  );
}
