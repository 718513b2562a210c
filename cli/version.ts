/** The package's version. */

import { createRequire } from 'node:module';

export const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };

/** What exported files say of who wrote them. */
export const PRODUCER = `ternseed ${version}`;
