// An application's module that is type-checked against the packed declarations.

import { openArtifact, openWasm, perceptronArtifact, rebuildVerified } from 'ternseed/artifact';
import { ConfigError, NoiseStepTrainer, PRESETS, type TrainingSet } from 'ternseed';

export async function predict(bytes: Uint8Array, pixels: Uint8Array): Promise<number | undefined> {
  const artifact = openArtifact(bytes);
  const backend = await openWasm({ threads: 1, simd: 'auto' });
  const placed = await backend.place(perceptronArtifact(artifact).network, { batch: 1 });
  await placed.writeWeights(await rebuildVerified(artifact, backend));
  placed.load({ inputs: pixels, labels: new Uint8Array(1), length: 1 });
  const { predictions } = await placed.evaluate();
  return predictions[0];
}

export async function train(data: TrainingSet): Promise<number> {
  const backend = await openWasm({ threads: 2 });
  try {
    const trainer = await NoiseStepTrainer.create(PRESETS.small, data, backend);
    const { lossUnits } = await trainer.next();
    return lossUnits;
  } catch (error) {
    if (error instanceof ConfigError) return 0;
    throw error;
  }
}
