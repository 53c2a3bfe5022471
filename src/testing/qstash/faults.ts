import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';

/** Faults that the emulator causes, each with its probability from 0 to 1. (default: 0 for each) */
export interface QStashFaults {
  /**
   * Seed of the random numbers. With the same seed, the same requests cause the same faults.
   * (default: 1)
   */
  readonly seed?: number;
  /** Probability that a request to publish is answered with 500 and nothing is accepted. */
  readonly failPublish?: number;
  /**
   * Probability that a request to publish is answered with 500 although its messages are accepted.
   */
  readonly dropPublishAnswer?: number;
  /**
   * Probability that a member of a batch is answered with an error and not accepted. The other
   * members are not affected.
   */
  readonly failMember?: number;
  /**
   * Probability that a message is accepted but never delivered. Such a message does not become a
   * dead letter either.
   */
  readonly lose?: number;
  /** Probability that a message is delivered a second time, at once or up to a minute later. */
  readonly duplicate?: number;
  /**
   * Probability that a message is delivered after some messages that were published later. Does not
   * apply to queues.
   */
  readonly reorder?: number;
  /** Probability that a delayed message is delivered at once. */
  readonly early?: number;
  /**
   * Probability that a message is delivered, but the answer is dropped. The delivery is then
   * retried as after a failure.
   */
  readonly dropAcknowledgement?: number;
  /**
   * Maximum number of milliseconds by which each message is late. Not a probability. (default: 0)
   */
  readonly delayMs?: number;
}

export type Fault = Exclude<keyof QStashFaults, 'seed' | 'delayMs'>;

const PROBABILITIES = [
  'failPublish',
  'dropPublishAnswer',
  'failMember',
  'lose',
  'duplicate',
  'reorder',
  'early',
  'dropAcknowledgement',
] as const satisfies readonly Fault[];

/** Decides at random which faults happen. */
export class FaultInjector {
  private faults: QStashFaults = {};
  private state = 1;

  constructor(faults: QStashFaults) {
    this.set(faults);
  }

  /**
   * Replaces all faults. A seed restarts the random numbers.
   *
   * @throws InvalidInputError that names an invalid fault
   */
  set(faults: QStashFaults): void {
    this.faults = checkFaults(faults);
    if (this.faults.seed !== undefined) this.state = this.faults.seed;
  }

  /**
   * Decides at random if a fault happens. Draws no random number for a fault with probability 0, so
   * that faults which are not used do not change the results of a seed.
   */
  happens(fault: Fault): boolean {
    const probability = this.faults[fault] ?? 0;
    return probability > 0 && this.random() < probability;
  }

  /** Returns a random number of milliseconds by which a message is late. */
  latenessMs(): number {
    const max = this.faults.delayMs ?? 0;
    return max > 0 ? this.upTo(max) : 0;
  }

  /** Returns a random whole number from 1 to `max`. */
  upTo(max: number): number {
    return 1 + Math.floor(this.random() * max);
  }

  /** Returns the next random number of the Mulberry32 generator, from 0 to 1. */
  private random(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }
}

function checkFaults(value: QStashFaults): QStashFaults {
  const faults = checkOptions(value, 'faults', ['seed', 'delayMs', ...PROBABILITIES]);
  for (const name of PROBABILITIES) {
    const probability: unknown = faults[name] ?? 0;
    if (typeof probability !== 'number' || !(probability >= 0 && probability <= 1)) {
      throw new InvalidInputError(`faults.${name}`, 'must be a number from 0 to 1');
    }
  }
  for (const name of ['seed', 'delayMs'] as const) {
    const number: unknown = faults[name] ?? 0;
    if (!Number.isInteger(number) || (number as number) < 0)
      throw new InvalidInputError(`faults.${name}`, 'must be a whole number, 0 or more');
  }
  return faults;
}
