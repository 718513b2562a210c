/** Before the tests of a file: properties draw the same inputs every time. `npm run fuzz` is what looks further. */

import fc from 'fast-check';

fc.configureGlobal({ seed: 2026 });
