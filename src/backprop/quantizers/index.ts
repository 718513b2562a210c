/** Quantizers by name. */

import { ABSMEAN, LLOYD_MAX, TWN } from '../../quantize/rules.js';
import { elasticQuantizer } from './elastic.js';
import type { QuantizerName } from './names.js';
import type { Quantizer } from './quantizer.js';
import { questQuantizer } from './quest.js';
import { symmetricQuantizer } from './symmetric.js';
import { thresholdQuantizer } from './threshold.js';

/**
 * The quantizer of a name.
 * @param threshold - of `sparse`, in σ of the layer's weights
 */
export function quantizerOf(name: QuantizerName, threshold: number): Quantizer {
  switch (name) {
    case 'absmean':
      return thresholdQuantizer(ABSMEAN);
    case 'twn':
      return thresholdQuantizer(TWN);
    case 'lloyd-max':
      return thresholdQuantizer(LLOYD_MAX);
    case 'sparse':
      return thresholdQuantizer({ factor: threshold, of: 'rms' });
    case 'elastic':
      return elasticQuantizer;
    case 'int4':
    case 'int8':
      return symmetricQuantizer(name, false);
    case 'int4-row':
      return symmetricQuantizer('int4', true);
    case 'int8-row':
      return symmetricQuantizer('int8', true);
    case 'quest-ternary':
      return questQuantizer('ternary');
    case 'quest-1':
      return questQuantizer(1);
    case 'quest-2':
      return questQuantizer(2);
    case 'quest-4':
      return questQuantizer(4);
    default:
      return name satisfies never;
  }
}
