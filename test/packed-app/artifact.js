// An application's page that imports `ternseed/artifact`: rebuilds what it is sent and predicts, on every backend.
// It awaits at the top of its entry, as README.md does: no chunk that this waits for may wait for the entry.

import { openBackend, openUrl, perceptronArtifact, rebuildVerified, transformerOf } from 'ternseed/artifact';

const { shape } = await (await fetch('task.json')).json();
const inputs = new Uint8Array(await (await fetch('inputs.bin')).arrayBuffer());
const artifact = perceptronArtifact(await openUrl('pool.tern'));
const examples = inputs.length / artifact.network.layers[0].weights.columns;
const found = {};
for (const name of new URLSearchParams(location.search).getAll('backend')) {
  const backend = await openBackend(name);
  const placed = await backend.place(artifact.network, { batch: examples });
  await placed.writeWeights(await rebuildVerified(artifact, backend));
  placed.load({ inputs, labels: new Uint8Array(examples), length: 1 });
  const { predictions } = await placed.evaluate();
  const text = await backend.place(transformerOf(shape), { batch: 1 });
  const logits = await text.next(65);
  found[name] = { predictions: [...predictions], logits: [...logits] };
  await backend.close();
}
globalThis.found = found;
