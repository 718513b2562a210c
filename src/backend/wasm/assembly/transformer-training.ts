// The kernels of transformers with those of node perturbation.

export * from './transformer';
