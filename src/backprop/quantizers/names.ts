/** The quantizers by name, as `--quantizer` takes them, and what each makes of a layer. Loads nothing. */

import type { LayerPrecision } from '../../ternary/precision.js';

/** The precision of the layers that a quantizer makes. */
export const QUANTIZER_PRECISIONS = {
  absmean: 'ternary',
  twn: 'ternary',
  'lloyd-max': 'ternary',
  sparse: 'ternary',
  elastic: 'ternary-row',
  int4: 'int4',
  'int4-row': 'int4-row',
  int8: 'int8',
  'int8-row': 'int8-row',
  'quest-ternary': 'ternary-row',
  'quest-1': 'ternary-row',
  'quest-2': 'int4-row',
  'quest-4': 'int8-row',
} as const satisfies Record<string, LayerPrecision>;

export type QuantizerName = keyof typeof QUANTIZER_PRECISIONS;

/** The names. */
export const QUANTIZERS = Object.keys(QUANTIZER_PRECISIONS) as QuantizerName[];

/** Those of trits without scales of rows, which are what models of texts are made of. */
export const TRIT_QUANTIZERS = QUANTIZERS.filter((name) => QUANTIZER_PRECISIONS[name] === 'ternary');
