// An application's module that is type-checked against the packed declarations.

import { load, openWasm, type Prediction } from 'ternseed/artifact';
import { ConfigError, NoiseStepTrainer, PRESETS, train, type TrainingSet } from 'ternseed';

export async function predict(bytes: Uint8Array, pixels: Uint8Array): Promise<Prediction> {
  const backend = await openWasm({ threads: 1, simd: 'auto' });
  const model = await load(bytes, { backend });
  return model.predict(pixels);
}

export async function trained(data: TrainingSet, signal: AbortSignal): Promise<Uint8Array> {
  const training = await train(data, { preset: 'small', signal });
  for await (const { loss } of training) if (loss < 0.1) break;
  return training.save();
}

export async function steps(data: TrainingSet): Promise<number> {
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
