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

/** The variables from which QStash's own SDK reads where it is. */
export interface QStashEnvironment {
  readonly QSTASH_URL: string;
  readonly QSTASH_TOKEN: string;
  readonly QSTASH_CURRENT_SIGNING_KEY: string;
  readonly QSTASH_NEXT_SIGNING_KEY: string;
}

export interface QStashSignOptions {
  readonly url: string;
  readonly body: string | Uint8Array;
  /** Now, unless told. The signature is good for five minutes from then. */
  readonly issuedAt?: Date;
  /** The current one, unless told. */
  readonly signingKey?: string;
}

/**
 * QStash on your machine, for tests and for local work: an HTTP server to which the Client and the Receiver of `@upstash/qstash` speak
 * unchanged. It keeps everything in memory.
 *
 * Signatures are made by the machine's clock, also when the emulator's own clock is a manual one.
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
    /** `http://127.0.0.1:<port>`: the Client's `baseUrl`. */
    readonly url: string,
    readonly token: string,
    private readonly office: EmulatorServices,
    private readonly server: ApiServer,
    private readonly dice: FaultInjector,
    private readonly quota: Quota,
    private readonly keys: SigningKeys,
  ) {}

  /** @throws InvalidInputError */
  static async start(options: QStashEmulatorOptions = {}): Promise<QStashEmulator> {
    const checked = checkEmulatorOptions(options);
    const dice = new FaultInjector(checked.faults);
    const quota = new Quota(checked.limits);
    const keys = new SigningKeys(checked.currentSigningKey, checked.nextSigningKey);
    const clock = checked.clock === 'manual' ? new ManualClock(checked.startAt) : new RealClock();
    const { patience, linger, token = `qstash_${randomBytes(16).toString('base64url')}` } = checked;
    const office = new EmulatorServices({ clock, dice, quota, keys, patience, linger });
    const server = new ApiServer(office, token);
    const port = await server.listen(checked.port);
    return new QStashEmulator(`http://127.0.0.1:${port}`, token, office, server, dice, quota, keys);
  }

  /** Signs. Rotating makes the next key current. */
  get currentSigningKey(): string {
    return this.keys.current;
  }

  get nextSigningKey(): string {
    return this.keys.next;
  }

  /** The emulator's time. */
  get now(): Date {
    return new Date(this.office.clock.now());
  }

  /** Every message that was accepted, in order, whatever became of it. */
  get messages(): readonly QStashMessageRecord[] {
    return this.office.store.all().map(recordOf);
  }

  /** Every attempt to deliver, in the order in which they began. */
  get deliveries(): readonly QStashDeliveryRecord[] {
    return this.office.ledger.deliveries;
  }

  stats(): QStashStats {
    return this.office.ledger.stats;
  }

  /** For `process.env`, or for a process of its own. */
  env(): QStashEnvironment {
    return {
      QSTASH_URL: this.url,
      QSTASH_TOKEN: this.token,
      QSTASH_CURRENT_SIGNING_KEY: this.keys.current,
      QSTASH_NEXT_SIGNING_KEY: this.keys.next,
    };
  }

  /**
   * Moves a manual clock on. What falls due on the way is delivered in order, and each time the answers are awaited before the clock goes on.
   *
   * @throws InvalidInputError on the real clock
   */
  async advance(duration: Duration): Promise<void> {
    const { clock, driver } = this.office;
    if (!(clock instanceof ManualClock)) throw new InvalidInputError('options.clock', "must be 'manual' for advance()");
    await driver.advance(clock, toMilliseconds(duration, 'duration'));
  }

  /** Delivers what is due now, and waits until nothing is due or being delivered. */
  async settled(): Promise<void> {
    await this.office.driver.settled();
  }

  /** A value for `Upstash-Signature`, for a request that a test makes itself. */
  sign({ url, body, issuedAt = new Date(), signingKey = this.keys.current }: QStashSignOptions): string {
    return signatureOf({ url, body, issuedAt, signingKey });
  }

  /** The next key becomes the current one. */
  rotateSigningKeys(): void {
    this.keys.rotate();
  }

  /** Replaces all faults: `{}` ends them. @throws InvalidInputError */
  setFaults(faults: QStashFaults): void {
    this.dice.set(faults);
  }

  /** Replaces all limits: `{}` lifts them. @throws InvalidInputError */
  setLimits(limits: QStashLimits): void {
    this.quota.set(limits);
    this.office.driver.changed();
  }

  /** Forgets messages, queues, schedules, dead letters, records and counts; breaks off what is being delivered. */
  clear(): void {
    this.office.clear();
    this.office.driver.changed();
  }

  /** Ends the server and whatever is being delivered. May be called twice. */
  async close(): Promise<void> {
    this.office.driver.close();
    this.office.dispatcher.clear();
    await this.server.close();
  }
}
