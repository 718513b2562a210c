/**
 * A linear prediction that learns while it goes (normalized least mean squares): what contexts of the
 * coders are made of. In f64 with + − × ÷ alone, each of which IEEE 754 fixes, and in a fixed order of
 * sums, so that every reader makes the very same predictions.
 */

/** Keeps the step finite where all inputs are zero. */
const FLOOR = 0.5;

/** Predicts a number from some others, and learns from what it was. */
export class LinearPredictor {
  /** [n], what the caller fills in before each prediction. */
  readonly inputs: Float64Array;
  private readonly weights: Float64Array;
  private predicted = 0;

  /**
   * @param size - number of inputs
   * @param rate - share of the error that a step takes away
   */
  constructor(
    size: number,
    private readonly rate: number,
  ) {
    this.inputs = new Float64Array(size);
    this.weights = new Float64Array(size);
  }

  /** Σ weight · input, summed from the first input on. */
  predict(): number {
    let sum = 0;
    for (let i = 0; i < this.inputs.length; i++) sum += this.weights[i] * this.inputs[i];
    this.predicted = sum;
    return sum;
  }

  /** Moves the weights towards what would have predicted `target`. */
  learn(target: number): void {
    const { inputs, weights } = this;
    let power = FLOOR;
    for (let i = 0; i < inputs.length; i++) power += inputs[i] * inputs[i];
    const step = (this.rate * (target - this.predicted)) / power;
    for (let i = 0; i < inputs.length; i++) weights[i] += step * inputs[i];
  }
}

/**
 * The context that a prediction stands for.
 * @param prediction - any finite number ≥ 0
 * @param scale - contexts a unit
 * @param largest - the last context
 * @returns an integer in 0…largest, rounded half up
 */
export function levelOf(prediction: number, scale: number, largest: number): number {
  return Math.max(0, Math.min(largest, Math.floor(prediction * scale + 0.5)));
}
