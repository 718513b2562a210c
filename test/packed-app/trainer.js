// An application's page that imports `ternseed`: trains some steps, and says what the weights are.

import { openArtifact, train } from 'ternseed';

const { config } = await (await fetch('task.json')).json();
const [inputs, labels] = await Promise.all(
  ['training-inputs.bin', 'training-labels.bin'].map(
    async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer()),
  ),
);
const data = { inputs, labels, count: labels.length, width: inputs.length / labels.length };
const found = {};
for (const backend of new URLSearchParams(location.search).getAll('backend')) {
  const training = await train(data, { config, backend });
  for await (const { step } of training) document.title = `step ${step}`;
  found[backend] = openArtifact(await training.save()).weightsHash;
  await training.close();
}
globalThis.found = found;
