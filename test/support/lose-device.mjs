// Loaded before the command line: after so many submissions the device is lost, as when a driver resets.

import { create } from 'webgpu';

const SUBMISSIONS = Number(process.env.LOSE_DEVICE_AFTER);

const gpu = create([]);
const requestAdapter = gpu.requestAdapter.bind(gpu);
gpu.requestAdapter = async (options) => {
  const adapter = await requestAdapter(options);
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (descriptor) => {
    const device = await requestDevice(descriptor);
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    let left = SUBMISSIONS;
    queue.submit = (buffers) => {
      submit(buffers);
      if (--left === 0) device.destroy();
    };
    return device;
  };
  return adapter;
};
Object.defineProperty(globalThis, 'navigator', { value: { ...globalThis.navigator, gpu } });
