/** Debian's Chromium without a window, for tests of the browser build. CI has it. */

import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

/** Why there is no Chromium here, or null where there is. */
export const chromiumFault: string | null = existsSync(EXECUTABLE)
  ? null
  : `no Chromium at ${EXECUTABLE}: install it, or name another by CHROMIUM`;

/** Starts it with a software adapter for WebGPU, and asking nothing of the network. */
export function launchChromium(): Promise<Browser> {
  return chromium.launch({
    executablePath: EXECUTABLE,
    args: [
      ...['--headless=new', '--no-sandbox'],
      ...['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
      '--host-resolver-rules=MAP insecure.test 127.0.0.1', // browsers trust localhost without encryption
      ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ],
  });
}
