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
  readonly QSTASH_URL: string;
  readonly QSTASH_TOKEN: string;
  readonly QSTASH_CURRENT_SIGNING_KEY: string;
  readonly QSTASH_NEXT_SIGNING_KEY: string;
}

/** Request to sign. */
export interface QStashSignOptions {
  readonly url: string;
  readonly body: string | Uint8Array;
  /** Time of the signature, which is valid for five minutes. (default: now) */
  readonly issuedAt?: Date;
  /** The current one, unless told. */
  /** Key that signs. (default: the current signing key) */
  readonly signingKey?: string;
}

/**
 * QStash on your machine, for tests and for local work: an HTTP server for the unchanged Client and
 * Receiver of `@upstash/qstash`. All data is in memory.
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
    /** Address of the server, `http://127.0.0.1:<port>`: the Client's `baseUrl`. */
    readonly url: string,
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
   * @throws InvalidInputError naming an option that is invalid
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

  /** Key that signs. Rotating the keys makes the next key current. */
  get currentSigningKey(): string {
    return this.keys.current;
  }

  /** Key that becomes current when the keys are rotated. */
  get nextSigningKey(): string {
    return this.keys.next;
  }

  /** Current time of the emulator's clock. */
  get now(): Date {
    return new Date(this.services.clock.now());
  }

  /** All accepted messages, in order, in any state. */
  get messages(): readonly QStashMessageRecord[] {
    return this.services.store.all().map(recordOf);
  }

  /** All attempts to deliver, in the order of their starts. */
  get deliveries(): readonly QStashDeliveryRecord[] {
    return this.services.stats.deliveries;
  }

  /** Returns the counts since the start, or since `clear()`. */
  stats(): QStashStats {
    return this.services.stats.stats;
  }

  /** Returns the environment variables for QStash's SDK, for `process.env` or a child process. */
  env(): QStashEnvironment {
    return {
      QSTASH_URL: this.url,
      QSTASH_TOKEN: this.token,
      QSTASH_CURRENT_SIGNING_KEY: this.keys.current,
      QSTASH_NEXT_SIGNING_KEY: this.keys.next,
    };
  }

  /**
   * Moves a manual clock forward. Deliveries that become due meanwhile are made in order. Each
   * time, the clock waits for the answers before it continues.
   *
   * @param duration milliseconds, or a duration such as `'1h'`
   * @throws InvalidInputError on the real clock, or for an invalid duration
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

  /** Returns a value for `Upstash-Signature`, for a request that a test sends itself. */
  sign({ url, body, issuedAt = new Date(), signingKey = this.keys.current }: QStashSignOptions): string {
    return signatureOf({ url, body, issuedAt, signingKey });
  }

  /** Makes the next key the current one, and creates another next key. */
  rotateSigningKeys(): void {
    this.keys.rotate();
  }

  /**
   * Replaces all faults; `{}` ends all faults.
   *
   * @throws InvalidInputError naming a fault that is invalid
   * @example qstash.setFaults({ seed: 7, duplicate: 0.1 });
   */
  setFaults(faults: QStashFaults): void {
    this.faults.set(faults);
  }

  /**
   * Replaces all limits; `{}` removes all limits.
   *
   * @throws InvalidInputError naming a limit that is invalid
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
