/**
 * The script of a helper thread: a worker that instantiates the kernels over the shared memory and
 * then stays inside `serve`, which waits for jobs. A string, so that it works from any bundle.
 */

/** Defines `start(helperStart, ready)`; the host's own script calls it. */
export const HELPER_SCRIPT = `
const start = ({ module, memory, control, thread, generation }, ready) => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory, abort() {} } });
  exports.attach(control, thread);
  ready();
  exports.serve(generation);
};`;
