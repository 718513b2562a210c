// The fused kernels of the ste trainer, over the memory of TensorFlow.js's wasm backend. They
// have no data of their own: all that they need comes as addresses.

export { gemm, gemmScratch } from './gemm';
export { linear, linearScratch, normalize, normalizeGradient } from './layer';
export { adamw, expandPool, poolGradient, ternarize } from './weights';
