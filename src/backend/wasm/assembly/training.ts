// The kernels of inference with those of the estimators: one module, since they call each other in one memory.

export { ALIGNMENT_COLUMNS } from './alignment';
export * from './inference';
