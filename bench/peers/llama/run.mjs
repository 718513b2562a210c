// llama.cpp on a GGUF of ours: the most likely next byte of every position of some windows, and bytes a second when
// it writes text at batch 1. node run.mjs '{"model":"m.gguf","windows":[[…bytes…]],"threads":2,"bytes":256}'
// Prints one JSON object. Called by bench/lm.mjs.

import { getLlama } from 'node-llama-cpp';

const { model: modelPath, windows = [], threads, bytes = 0 } = JSON.parse(process.argv[2]);
const llama = await getLlama({ build: 'never', gpu: false, logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: model.trainContextSize, threads, sequences: 1 });
const sequence = context.getSequence();

const predictions = [];
for (const window of windows) {
  await sequence.clearHistory();
  const asked = window.map((token) => [
    token,
    { generateNext: { token: true, options: { temperature: 0 } } },
  ]);
  const answers = await sequence.controlledEvaluate(asked);
  predictions.push(answers.map((answer) => answer.next.token));
}

let bytesPerSecond = null;
if (bytes > 0) {
  const rates = [];
  for (let round = 0; round < 5; round++) {
    await sequence.clearHistory();
    const made = [];
    let begun = 0;
    for await (const token of sequence.evaluate([10], { temperature: 0, yieldEogToken: true })) {
      if (made.length === 0) begun = performance.now();
      made.push(token);
      if (made.length > Math.min(bytes, model.trainContextSize - 2)) break;
    }
    rates.push((made.length - 1) / ((performance.now() - begun) / 1000));
  }
  bytesPerSecond = Math.max(...rates);
}
console.log(
  JSON.stringify({
    name: `llama.cpp (node-llama-cpp ${process.env.npm_package_version ?? '3.22.1'})`,
    predictions,
    bytesPerSecond,
  }),
);
process.exit();
