// The kernels of a perceptron with those of the estimators: one module, since they call each other in one memory.

export { ALIGNMENT_COLUMNS } from './alignment';
export * from './perceptron';
