// The kernels of a transformer with those of node perturbation.

export * from './transformer';
