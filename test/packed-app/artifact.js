// An application's page that imports `ternseed/artifact`: loads what it is sent and predicts, on every backend.
// It awaits at the top of its entry, as README.md does: no chunk that this waits for may wait for the entry.

import { load, openBackend, transformerOf } from 'ternseed/artifact';

const { shape } = await (await fetch('task.json')).json();
const pixels = new Uint8Array(await (await fetch('pixels.bin')).arrayBuffer());
const found = {};
for (const name of new URLSearchParams(location.search).getAll('backend')) {
  const backend = await openBackend(name);
  const model = await load('pool.tern', { backend });
  const { width } = model.graph.slots[0];
  const predictions = [];
  for (let first = 0; first < pixels.length; first += width) {
    predictions.push((await model.predict(pixels.subarray(first, first + width))).index);
  }
  const text = await backend.place(transformerOf(shape), { batch: 1 });
  const logits = await text.next(65);
  found[name] = { predictions, logits: [...logits] };
  await model.close();
  await backend.close();
}
globalThis.found = found;
