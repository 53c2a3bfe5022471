import { checkOptions } from '../../core/check-options.js';
import { type Duration, toMilliseconds, toTimestamp } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { ClockDriverOptions } from './clock-driver.js';
import type { QStashFaults } from './faults.js';
import type { QStashLimits } from './limits.js';

/** Options of the emulator. */
export interface QStashEmulatorOptions {
  /** Port on 127.0.0.1, from 0 to 65,535. (default: 0, a free port) */
  readonly port?: number;
  /** Token that each request must contain. (default: a random token) */
  readonly token?: string;
  /** Key that signs deliveries. (default: a random key) */
  readonly currentSigningKey?: string;
  /** Key that becomes the current key when the keys are rotated. (default: a random key) */
  readonly nextSigningKey?: string;
  /**
   * Clock of the emulator. With `manual`, messages are delivered only while a test waits in
   * `advance()` or `settled()`. (default: `'real'`)
   */
  readonly clock?: 'real' | 'manual';
  /** Time that a manual clock shows at the start. (default: now) */
  readonly startAt?: Date;
  /**
   * Real time, in milliseconds or as a duration, for which a manual clock waits for an answer.
   * After that the clock moves on, so that the message's timeout can expire while a handler hangs.
   * (default: `'10s'`)
   */
  readonly answerTimeout?: Duration;
  /**
   * Real time, in milliseconds or as a duration, for which a manual clock waits for new messages
   * after an answer. Needed when the application publishes messages after its answer. (default: 0)
   */
  readonly quietPeriod?: Duration;
  /** Faults that the emulator causes. (default: no faults) */
  readonly faults?: QStashFaults;
  /** Limits that the emulator enforces. (default: the defaults of `QStashLimits`) */
  readonly limits?: QStashLimits;
}

export interface CheckedOptions extends ClockDriverOptions {
  readonly port: number;
  readonly token: string | undefined;
  readonly currentSigningKey: string | undefined;
  readonly nextSigningKey: string | undefined;
  readonly clock: 'real' | 'manual';
  readonly startAt: number;
  readonly faults: QStashFaults;
  readonly limits: QStashLimits;
}

const KNOWN = [
  'port',
  'token',
  'currentSigningKey',
  'nextSigningKey',
  'clock',
  'startAt',
  'answerTimeout',
  'quietPeriod',
  'faults',
  'limits',
] as const satisfies readonly (keyof QStashEmulatorOptions)[];

/**
 * Checks the options of the emulator and fills in the defaults.
 *
 * @throws InvalidInputError that names an invalid option
 */
export function checkEmulatorOptions(value: QStashEmulatorOptions): CheckedOptions {
  const options = checkOptions(value, 'options', KNOWN);
  const { port = 0, clock = 'real', answerTimeout = '10s', quietPeriod = 0, startAt, faults = {}, limits = {} } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidInputError('options.port', 'must be a port');
  if (clock !== 'real' && clock !== 'manual') throw new InvalidInputError('options.clock', "must be 'real' or 'manual'");
  return {
    port,
    clock,
    token: textOf(options, 'token'),
    currentSigningKey: textOf(options, 'currentSigningKey'),
    nextSigningKey: textOf(options, 'nextSigningKey'),
    startAt: startAt === undefined ? Date.now() : toTimestamp(startAt, 'options.startAt'),
    answerTimeoutMs: toMilliseconds(answerTimeout, 'options.answerTimeout'),
    quietPeriodMs: toMilliseconds(quietPeriod, 'options.quietPeriod'),
    faults,
    limits,
  };
}

function textOf(options: QStashEmulatorOptions, name: 'token' | 'currentSigningKey' | 'nextSigningKey'): string | undefined {
  const text: unknown = options[name];
  if (text !== undefined && (typeof text !== 'string' || text === '')) throw new InvalidInputError(`options.${name}`, 'must be text');
  return text;
}
