/** Repetitions a second, the best of 25 rounds: others on the machine only slow it down. */
export async function rate(work, seconds) {
  await work();
  await work();
  let best = 0;
  for (let round = 0; round < 25; round++) {
    let runs = 0;
    const begun = performance.now();
    while (performance.now() - begun < (seconds * 1000) / 25) {
      await work();
      runs++;
    }
    best = Math.max(best, (runs * 1000) / (performance.now() - begun));
  }
  return best;
}
