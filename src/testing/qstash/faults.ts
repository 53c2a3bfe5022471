import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';

/** Faults of the emulator, as probabilities from 0 to 1. (default: 0 for each) */
export interface QStashFaults {
  /**
   * Seed of the random numbers. The same seed and the same requests cause the same faults.
   * (default: 1)
   */
  readonly seed?: number;
  /** Answers a request to publish with 500 and accepts nothing. */
  readonly failPublish?: number;
  /** Accepts the messages, but answers the request with 500. */
  readonly dropPublishAnswer?: number;
  /**
   * Answers one member of a batch with an error and does not accept it. The other members are not
   * affected.
   */
  readonly failMember?: number;
  /**
   * Accepts the message but never delivers it. The message does not become a dead letter either.
   */
  readonly lose?: number;
  /** Delivers the message twice, the second time at once or up to a minute later. */
  readonly duplicate?: number;
  /** Delivers some messages that were published later first. Does not apply to queues. */
  readonly reorder?: number;
  /** Delivers a delayed message at once. */
  readonly early?: number;
  /** Delivers the message, drops the answer, and retries as after a failure. */
  readonly dropAcknowledgement?: number;
  /** Maximum lateness of every message, in milliseconds. Not a probability. (default: 0) */
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

/** Decides randomly which faults happen. */
export class FaultInjector {
  private faults: QStashFaults = {};
  private state = 1;

  constructor(faults: QStashFaults) {
    this.set(faults);
  }

  /**
   * Replaces all faults. A seed restarts the random numbers.
   *
   * @throws InvalidInputError naming a fault that is invalid
   */
  set(faults: QStashFaults): void {
    this.faults = checkFaults(faults);
    if (this.faults.seed !== undefined) this.state = this.faults.seed;
  }

  /**
   * Decides whether a fault happens. Draws no random number for a fault with probability 0, so that
   * a seed does not depend on which faults exist.
   */
  happens(fault: Fault): boolean {
    const probability = this.faults[fault] ?? 0;
    return probability > 0 && this.random() < probability;
  }

  /** Returns the lateness of a message, in milliseconds. */
  latenessMs(): number {
    const max = this.faults.delayMs ?? 0;
    return max > 0 ? this.upTo(max) : 0;
  }

  /** Returns a random whole number from 1 to `max`. */
  upTo(max: number): number {
    return 1 + Math.floor(this.random() * max);
  }

  /** Returns the next number of the Mulberry32 generator, from 0 to 1. */
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
