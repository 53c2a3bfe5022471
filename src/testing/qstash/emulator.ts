import { randomBytes } from 'node:crypto';
import { type Duration, toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { ManualClock, RealClock } from './clock.js';
import { FaultInjector, type QStashFaults } from './faults.js';
import type { QStashStats } from './delivery-stats.js';
import { type QStashLimits, Quota } from './limits.js';
import { type QStashDeliveryRecord, type QStashMessageRecord, recordOf } from './message.js';
import { EmulatorServices } from './emulator-services.js';
import { checkEmulatorOptions, type QStashEmulatorOptions } from './options.js';
import { ApiServer } from './server.js';
import { signatureOf } from './signature.js';
import { SigningKeys } from './signing-keys.js';

/** Environment variables that QStash's SDK reads. */
export interface QStashEnvironment {
  /** Address of the emulator. */
  readonly QSTASH_URL: string;
  /** Token that each request must contain. */
  readonly QSTASH_TOKEN: string;
  /** Key that signs deliveries. */
  readonly QSTASH_CURRENT_SIGNING_KEY: string;
  /** Key that becomes the current key when the keys are rotated. */
  readonly QSTASH_NEXT_SIGNING_KEY: string;
}

/** Request to be signed. */
export interface QStashSignOptions {
  /** Address to which the request is sent. */
  readonly url: string;
  /** Body of the request. */
  readonly body: string | Uint8Array;
  /** Time of the signature, which is then valid for five minutes. (default: now) */
  readonly issuedAt?: Date;
  /** Key to sign with. (default: the current signing key) */
  readonly signingKey?: string;
}

/**
 * QStash on your machine, for tests and for local work: an HTTP server that works with the
 * unchanged Client and Receiver of `@upstash/qstash`. All data is in memory.
 *
 * Signatures use the machine's clock, even when the emulator's clock is manual.
 *
 * @example
 * const qstash = await QStashEmulator.start({ clock: 'manual' });
 * const client = new Client({ baseUrl: qstash.url, token: qstash.token, devMode: false });
 * await client.publishJSON({ url, body: { run: '1' }, delay: '1h' });
 * await qstash.advance('1h');
 * expect(qstash.deliveries).toHaveLength(1);
 * await qstash.close();
 */
export class QStashEmulator {
  private constructor(
    /** Address of the server, `http://127.0.0.1:<port>`, to be used as the Client's `baseUrl`. */
    readonly url: string,
    /** Token that each request must contain. */
    readonly token: string,
    private readonly services: EmulatorServices,
    private readonly server: ApiServer,
    private readonly faults: FaultInjector,
    private readonly quota: Quota,
    private readonly keys: SigningKeys,
  ) {}

  /**
   * Starts an emulator.
   *
   * @param options port, clock, faults and limits (default: a free port, the real clock, no faults
   *   and no limits)
   * @throws InvalidInputError that names an invalid option
   * @example const qstash = await QStashEmulator.start({ clock: 'manual' });
   */
  static async start(options: QStashEmulatorOptions = {}): Promise<QStashEmulator> {
    const checked = checkEmulatorOptions(options);
    const faults = new FaultInjector(checked.faults);
    const quota = new Quota(checked.limits);
    const keys = new SigningKeys(checked.currentSigningKey, checked.nextSigningKey);
    const clock = checked.clock === 'manual' ? new ManualClock(checked.startAt) : new RealClock();
    const { answerTimeoutMs, quietPeriodMs, token = `qstash_${randomBytes(16).toString('base64url')}` } = checked;
    const services = new EmulatorServices({ clock, faults, quota, keys, answerTimeoutMs, quietPeriodMs });
    const server = new ApiServer(services, token);
    const port = await server.listen(checked.port);
    return new QStashEmulator(`http://127.0.0.1:${port}`, token, services, server, faults, quota, keys);
  }

  /** Key that signs deliveries. Rotating the keys replaces this key with the next key. */
  get currentSigningKey(): string {
    return this.keys.current;
  }

  /** Key that becomes the current key when the keys are rotated. */
  get nextSigningKey(): string {
    return this.keys.next;
  }

  /** Current time of the emulator's clock. */
  get now(): Date {
    return new Date(this.services.clock.now());
  }

  /** All accepted messages in any state, in the order of their publication. */
  get messages(): readonly QStashMessageRecord[] {
    return this.services.store.all().map(recordOf);
  }

  /** All attempts to deliver messages, in the order of their starts. */
  get deliveries(): readonly QStashDeliveryRecord[] {
    return this.services.stats.deliveries;
  }

  /** Returns the counts since the start of the emulator, or since the last `clear()`. */
  stats(): QStashStats {
    return this.services.stats.stats;
  }

  /**
   * Returns the environment variables for QStash's SDK. Assign them to `process.env` or pass
   * them to a child process.
   */
  env(): QStashEnvironment {
    return {
      QSTASH_URL: this.url,
      QSTASH_TOKEN: this.token,
      QSTASH_CURRENT_SIGNING_KEY: this.keys.current,
      QSTASH_NEXT_SIGNING_KEY: this.keys.next,
    };
  }

  /**
   * Moves a manual clock forward. Deliveries that become due meanwhile are made in order. After
   * each delivery, the clock waits for the answer before it moves on.
   *
   * @param duration milliseconds, or a duration such as `'1h'`
   * @throws InvalidInputError when the emulator uses the real clock, or for an invalid duration
   * @example await qstash.advance('1h');
   */
  async advance(duration: Duration): Promise<void> {
    const { clock, driver } = this.services;
    if (!(clock instanceof ManualClock)) throw new InvalidInputError('options.clock', "must be 'manual' to use advance()");
    await driver.advance(clock, toMilliseconds(duration, 'duration'));
  }

  /** Starts the deliveries that are due now, and resolves when no delivery is due or active. */
  async settled(): Promise<void> {
    await this.services.driver.settled();
  }

  /** Returns the value of the header `Upstash-Signature` for a request that a test sends itself. */
  sign({ url, body, issuedAt = new Date(), signingKey = this.keys.current }: QStashSignOptions): string {
    return signatureOf({ url, body, issuedAt, signingKey });
  }

  /** Makes the next key the current key, and creates a new next key. */
  rotateSigningKeys(): void {
    this.keys.rotate();
  }

  /**
   * Replaces all faults; `{}` turns all faults off.
   *
   * @throws InvalidInputError that names an invalid fault
   * @example qstash.setFaults({ seed: 7, duplicate: 0.1 });
   */
  setFaults(faults: QStashFaults): void {
    this.faults.set(faults);
  }

  /**
   * Replaces all limits; `{}` removes all limits.
   *
   * @throws InvalidInputError that names an invalid limit
   * @example qstash.setLimits({ messagesPerDay: 1_000 });
   */
  setLimits(limits: QStashLimits): void {
    this.quota.set(limits);
    this.services.driver.changed();
  }

  /**
   * Removes messages, queues, schedules, dead letters, records and counts. Aborts active
   * deliveries.
   */
  clear(): void {
    this.services.clear();
    this.services.driver.changed();
  }

  /** Stops the server and aborts active deliveries. May be called twice. */
  async close(): Promise<void> {
    this.services.driver.close();
    this.services.dispatcher.clear();
    await this.server.close();
  }
}
