// Our forward passes through the public interface, and how soon an artifact answers.

import { encodePacked, openArtifact } from '../../dist/src/artifact/artifact.js';
import { rebuild } from '../../dist/src/artifact/rebuild.js';
import { openWasm } from '../../dist/src/backend/wasm/wasm.js';
import { networkOf } from '../../dist/src/ternary/builders/perceptron.js';
import { poolFile } from '../gpu/training.mjs';
import { rate } from '../peers/rate.mjs';
import { median } from '../report.mjs';

/** Forward passes of one example a second at each batch size. */
export async function ourPasses(widths, batches, threads, seconds) {
  const backend = await openWasm({ threads });
  const network = networkOf(widths, { centred: true, gain: 40, logitScale: 300 });
  const rates = [];
  for (const batch of batches) {
    const placed = await backend.place(network, { batch });
    await placed.initLatents([1, 2], 0);
    const inputs = Uint8Array.from(
      { length: batch * widths[0] },
      (_, i) => Math.imul(i + 1, 2654435761) >>> 25,
    );
    const labels = new Uint8Array(batch);
    const pass = async () => {
      placed.load({ inputs, labels, length: 1 });
      await placed.evaluate();
    };
    for (let i = 0; i < 50; i++) await pass();
    rates.push(batch * (await rate(pass, seconds)));
    await placed.release();
  }
  await backend.close();
  return rates;
}

/** Milliseconds from the bytes of an artifact to the answer for one example, of a seed pool and of packed weights. */
export async function loadTimes(model, directions, runs) {
  const backend = await openWasm({ threads: 1 });
  const pool = poolFile(model, directions);
  const opened = openArtifact(pool);
  const weights = await rebuild(opened, backend);
  const files = {
    pool,
    packed: encodePacked(opened.header, weights, { steps: 1, weightsHash: '0'.repeat(64) }),
  };
  const found = {};
  for (const [kind, bytes] of Object.entries(files)) {
    const times = [];
    for (let run = 0; run < runs; run++) {
      const begun = performance.now();
      const artifact = openArtifact(bytes);
      const placed = await backend.place(artifact.network, { batch: 1 });
      await placed.writeWeights(await rebuild(artifact, backend));
      placed.load({
        inputs: new Uint8Array(artifact.network.widths[0]),
        labels: new Uint8Array(1),
        length: 1,
      });
      await placed.evaluate();
      times.push(performance.now() - begun);
      await placed.release();
    }
    found[kind] = { bytes: bytes.length, ms: median(times), firstMs: times[0] };
  }
  await backend.close();
  return found;
}
