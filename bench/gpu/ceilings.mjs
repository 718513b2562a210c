// What a device can do at best, measured by kernels that do nothing else: bytes copied a second, and
// operations of `dot4I8Packed` a second from registers alone. The benchmark's kernels are held against these.

const THREADS = 256;
/** Sums that a thread keeps, so that no product waits for the one before it. */
const SUMS = 16;
/** Multiplications and additions of one `dot4I8Packed` whose result is added. */
export const DOT_OPERATIONS = 8;
const STORAGE = 0x80;
const COPY_SOURCE = 4;
const COPY_TARGET = 8;

/**
 * Runs what `record` puts into an encoder, more often until it takes long enough, and times that.
 * @param record - called with an encoder, once a repetition
 * @returns seconds of one repetition, the median of five rounds
 */
export async function secondsOf({ queue, device }, record, leastSeconds = 0.05) {
  const run = async (repetitions) => {
    const begun = performance.now();
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < repetitions; i++) record(encoder);
    queue.submit([encoder.finish()]);
    await queue.onSubmittedWorkDone();
    return (performance.now() - begun) / 1000;
  };
  await run(1); // compiles
  let repetitions = 1;
  while ((await run(repetitions)) < leastSeconds && repetitions < 4096) repetitions *= 2;
  const rounds = [];
  for (let round = 0; round < 5; round++) rounds.push((await run(repetitions)) / repetitions);
  return rounds.sort((a, b) => a - b)[2];
}

/** Bytes read plus bytes written a second by a copy between two buffers. */
export async function copyBandwidth(device, bytes) {
  const make = () => device.createBuffer({ size: bytes, usage: STORAGE | COPY_SOURCE | COPY_TARGET });
  const [from, to] = [make(), make()];
  // Data that is not all zeros, which some devices compress.
  const noise = Uint32Array.from({ length: bytes / 4 }, (_, i) => Math.imul(i + 1, 2654435761));
  device.queue.writeBuffer(from, 0, noise);
  const seconds = await secondsOf({ device, queue: device.queue }, (encoder) =>
    encoder.copyBufferToBuffer(from, 0, to, 0, bytes),
  );
  from.destroy();
  to.destroy();
  return (2 * bytes) / seconds;
}

/**
 * Operations a second of `dot4I8Packed` and the addition of its result.
 * @param rounds - of products that a thread makes
 * @param groups - workgroups, enough to fill the device
 */
export async function dotRate(device, rounds, groups) {
  const each = (line) => Array.from({ length: SUMS }, (_, i) => line(i)).join('\n');
  const code = `
@group(0) @binding(0) var<storage, read_write> out: array<i32>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var a = id.x * 2654435761u;
${each((i) => `  var sum${i} = 0; let b${i} = a ^ ${(0x9e3779b1 * (i + 1)) >>> 0}u;`)}
  for (var round = 0u; round < ${rounds}u; round++) {
    a += 0x01010101u;
${each((i) => `    sum${i} += dot4I8Packed(a, b${i});`)}
  }
  out[id.x] = ${Array.from({ length: SUMS }, (_, i) => `sum${i}`).join(' + ')};
}`;
  const pipeline = device.createComputePipeline({
    layout: 'auto',
    compute: { module: device.createShaderModule({ code }), entryPoint: 'main' },
  });
  const out = device.createBuffer({ size: 4 * THREADS * groups, usage: STORAGE });
  const bindings = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: out } }],
  });
  const seconds = await secondsOf({ device, queue: device.queue }, (encoder) => {
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(groups);
    pass.end();
  });
  out.destroy();
  return (DOT_OPERATIONS * SUMS * THREADS * groups * rounds) / seconds;
}
