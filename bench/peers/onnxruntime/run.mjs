// Matrix products and forward passes of onnxruntime-node on the CPU:
//   node run.mjs '{"shapes":[[1024,784,256]],"threads":1,"seconds":1}'
//   node run.mjs '{"widths":[784,256,10],"batches":[1,1024],"threads":2,"seconds":1}'
// Prints one JSON object: operations a second in float32 and in int8 (u8 × i8, sums in i32), or passes a second.

import ort from 'onnxruntime-node';
import { rate } from '../rate.mjs';
import { FLOAT, INT32, INT8, model, node, tensor, UINT8 } from './model.mjs';

const { shapes = [], widths = [], batches = [], threads, seconds } = JSON.parse(process.argv[2]);
const name = `onnxruntime-node ${ort.env.versions.node}`;
const open = (bytes) =>
  ort.InferenceSession.create(bytes, {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
  });
const floats = (length) => Float32Array.from({ length }, () => Math.random() - 0.5);

async function product([batch, inputs, units], integer) {
  const weights = integer
    ? tensor(
        'w',
        INT8,
        [inputs, units],
        Int8Array.from({ length: inputs * units }, () => Math.random() * 3 - 1),
      )
    : tensor('w', FLOAT, [inputs, units], floats(inputs * units));
  const session = await open(
    model({
      ...{ x: [integer ? UINT8 : FLOAT, [batch, inputs]], z: [integer ? INT32 : FLOAT, [batch, units]] },
      ...{ nodes: [node(integer ? 'MatMulInteger' : 'MatMul', ['x', 'w'], 'z')], weights: [weights] },
    }),
  );
  const x = integer
    ? new ort.Tensor(
        'uint8',
        Uint8Array.from({ length: batch * inputs }, () => Math.random() * 128),
        [batch, inputs],
      )
    : new ort.Tensor('float32', floats(batch * inputs), [batch, inputs]);
  return 2 * batch * inputs * units * (await rate(() => session.run({ x }), seconds));
}

/** Linear layers with ReLU between them; no normalization, which ONNX would take several nodes for. */
async function forward(batch) {
  const nodes = [];
  const weights = [];
  widths.slice(1).forEach((units, layer) => {
    const last = layer === widths.length - 2;
    weights.push(tensor(`w${layer}`, FLOAT, [widths[layer], units], floats(widths[layer] * units)));
    const from = layer === 0 ? 'x' : `x${layer}`;
    nodes.push(node('MatMul', [from, `w${layer}`], last ? 'z' : `z${layer}`));
    if (!last) nodes.push(node('Relu', [`z${layer}`], `x${layer + 1}`));
  });
  const session = await open(
    model({ x: [FLOAT, [batch, widths[0]]], z: [FLOAT, [batch, widths.at(-1)]], nodes, weights }),
  );
  const x = new ort.Tensor('float32', floats(batch * widths[0]), [batch, widths[0]]);
  return batch * (await rate(() => session.run({ x }), seconds));
}

const result = { name, threads, float: [], int8: [], passes: [] };
for (const shape of shapes) {
  result.float.push(await product(shape, false));
  result.int8.push(await product(shape, true));
}
for (const batch of batches) result.passes.push(await forward(batch));
console.log(JSON.stringify(result));
