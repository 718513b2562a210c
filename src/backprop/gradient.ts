/** Operations with a gradient of their own: TensorFlow.js's `customGrad` with types. */

import * as tf from '@tensorflow/tfjs-core';

/**
 * Runs an operation and tells TensorFlow.js its gradient.
 * @param inputs - what it can be differentiated by
 * @param forward - computes it; `saved` is kept for the gradient
 * @param backward - gradients by the inputs, in their order, from that by the value
 */
export function withGradient<Value extends tf.Tensor, Saved extends tf.Tensor[] = []>(
  inputs: readonly tf.Tensor[],
  forward: () => { value: Value; saved?: Saved },
  backward: (dvalue: Value, ...saved: Saved) => tf.Tensor[],
): Value {
  return tf.customGrad((...given) => {
    const save = given[inputs.length] as tf.GradSaveFunc;
    const { value, saved } = forward();
    save(saved ?? []);
    return {
      value,
      gradFunc: (dvalue: Value, kept: tf.Tensor[]) => backward(dvalue, ...(kept as Saved)),
    };
  })(...inputs) as Value;
}

/** Runs an operation whose gradient counts as the identity. */
export function straightThrough<Value extends tf.Tensor>(input: Value, forward: () => Value): Value {
  return withGradient(
    [input],
    () => ({ value: forward() }),
    (dvalue) => [dvalue.clone()],
  );
}
