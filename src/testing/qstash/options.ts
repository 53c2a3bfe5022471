import { checkOptions } from '../../core/check-options.js';
import { type Duration, toMilliseconds, toTimestamp } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { ClockDriverOptions } from './clock-driver.js';
import type { QStashFaults } from './faults.js';
import type { QStashLimits } from './limits.js';

export interface QStashEmulatorOptions {
  /** On 127.0.0.1; a free one unless told. */
  readonly port?: number;
  /** Made up unless told, as are the keys. */
  readonly token?: string;
  readonly currentSigningKey?: string;
  readonly nextSigningKey?: string;
  /** `real` unless told. With `manual` nothing is delivered but while a test waits in `advance()` or `settled()`. */
  readonly clock?: 'real' | 'manual';
  /** Where a manual clock begins: now, unless told. */
  readonly startAt?: Date;
  /**
   * For how long, in real time, a manual clock waits for an answer before it goes on without it; so a handler that hangs runs into its
   * timeout by the emulator's clock. 10 s unless told.
   */
  readonly patience?: Duration;
  /**
   * For how long, in real time, a manual clock waits for what the application may publish after it has answered, before it goes on. 0 unless
   * told.
   */
  readonly linger?: Duration;
  readonly faults?: QStashFaults;
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
  'patience',
  'linger',
  'faults',
  'limits',
] as const satisfies readonly (keyof QStashEmulatorOptions)[];

/** @throws InvalidInputError */
export function checkEmulatorOptions(value: QStashEmulatorOptions): CheckedOptions {
  const options = checkOptions(value, 'options', KNOWN);
  const { port = 0, clock = 'real', patience = '10s', linger = 0, startAt, faults = {}, limits = {} } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidInputError('options.port', 'must be a port');
  if (clock !== 'real' && clock !== 'manual') throw new InvalidInputError('options.clock', "must be 'real' or 'manual'");
  return {
    port,
    clock,
    token: textOf(options, 'token'),
    currentSigningKey: textOf(options, 'currentSigningKey'),
    nextSigningKey: textOf(options, 'nextSigningKey'),
    startAt: startAt === undefined ? Date.now() : toTimestamp(startAt, 'options.startAt'),
    patience: toMilliseconds(patience, 'options.patience'),
    linger: toMilliseconds(linger, 'options.linger'),
    faults,
    limits,
  };
}

function textOf(options: QStashEmulatorOptions, name: 'token' | 'currentSigningKey' | 'nextSigningKey'): string | undefined {
  const text: unknown = options[name];
  if (text !== undefined && (typeof text !== 'string' || text === '')) throw new InvalidInputError(`options.${name}`, 'must be text');
  return text;
}
