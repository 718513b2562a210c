// An application's page that asks for what only Node has.

import { openTensorflow } from 'ternseed/backprop';

await openTensorflow('wasm');
