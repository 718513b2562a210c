// The fused kernels of the ste trainer, over the memory of TensorFlow.js's wasm backend. They
// have no data of their own: all that they need comes as addresses.

export { gemm, gemmScratch } from './gemm';
export { attention, attentionGradient, attentionScratch } from './attention';
export { gated, gatedGradient, hiddenUnits } from './gate';
export { linear, linearScratch, normalize, normalizeGradient } from './layer';
export { adamw, expandPool, poolGradient, ternarize } from './weights';
export { addToStream, requantize, requantizeGradient, rotate, rotateGradient } from './requantize';
export { rmsNorm, rmsNormGradient } from './rms-norm';
export { embed, embedGradient, softmax, softmaxGradient } from './tokens';
export { signedLinear, signedLinearScratch } from './signed';
