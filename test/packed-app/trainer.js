// An application's page that imports `ternseed`: trains some steps, and says what the weights are.

import { NoiseStepTrainer, openBackend, weightsHash } from 'ternseed';

const { config } = await (await fetch('task.json')).json();
const [inputs, labels] = await Promise.all(
  ['training-inputs.bin', 'training-labels.bin'].map(
    async (name) => new Uint8Array(await (await fetch(name)).arrayBuffer()),
  ),
);
const data = { inputs, labels, count: labels.length, width: inputs.length / labels.length };
const found = {};
for (const name of new URLSearchParams(location.search).getAll('backend')) {
  const backend = await openBackend(name);
  const trainer = await NoiseStepTrainer.create(config, data, backend);
  while (trainer.step < config.steps) await trainer.next();
  found[name] = await weightsHash(await trainer.placed.readWeights());
  await backend.close();
}
globalThis.found = found;
