import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';

/** What goes wrong, and how often: probabilities from 0 to 1. What is not named does not happen. */
export interface QStashFaults {
  /** The same seed and the same requests bring the same faults. 1 unless told. */
  readonly seed?: number;
  /** The request to publish is answered with 500, and nothing is accepted. */
  readonly failPublish?: number;
  /** The messages are accepted, and yet the request is answered with 500. */
  readonly dropPublishAnswer?: number;
  /** One member of a batch is answered with an error and not accepted, whatever becomes of the others. */
  readonly failMember?: number;
  /** The message is accepted and never delivered; it does not become a dead letter either. */
  readonly lose?: number;
  /** The message is delivered twice, the second time at once or up to a minute later. */
  readonly duplicate?: number;
  /** The message lets some that were published after it go first. Not for queues. */
  readonly reorder?: number;
  /** A message that is to be delivered later is delivered at once. */
  readonly early?: number;
  /** The message is delivered, its answer thrown away, and it is retried as after a failure. */
  readonly dropAcknowledgement?: number;
  /** Not a probability: every message is delivered up to this many milliseconds late. */
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

/** Decides what goes wrong. */
export class FaultInjector {
  private faults: QStashFaults = {};
  private state = 1;

  constructor(faults: QStashFaults) {
    this.set(faults);
  }

  /** Replaces all faults; a seed starts the dice anew. @throws InvalidInputError */
  set(faults: QStashFaults): void {
    this.faults = checkFaults(faults);
    if (this.faults.seed !== undefined) this.state = this.faults.seed;
  }

  /** Draws nothing for what cannot happen, so that a seed means the same whichever faults there are. */
  happens(fault: Fault): boolean {
    const probability = this.faults[fault] ?? 0;
    return probability > 0 && this.random() < probability;
  }

  /** How late a message is. */
  lateness(): number {
    const most = this.faults.delayMs ?? 0;
    return most > 0 ? this.upTo(most) : 0;
  }

  /** A whole number from 1 to `most`. */
  upTo(most: number): number {
    return 1 + Math.floor(this.random() * most);
  }

  /** Mulberry32. */
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
