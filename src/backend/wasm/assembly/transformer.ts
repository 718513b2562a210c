// The kernels that run a transformer.

export { attach } from './control';
export { run, serve } from './jobs';
export { textNext } from './text';
