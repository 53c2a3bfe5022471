import { performance } from 'node:perf_hooks';
import type { ClaimKey } from '../core/run.js';
import type { Sweep } from '../maintenance/sweep.js';
import { resendWakeUps, wakeListed, type WakeUp } from '../store/sql/outbox.js';
import type { Publisher } from '../transports/qstash/publisher.js';
import type { HostDependencies } from './host-dependencies.js';

/**
 * Maximum number of runs that one query returns. A query that returns this many runs is repeated,
 * for at most `SEND_WAKE_UPS_MS`. The next sweep finds the remaining runs.
 */
const SWEEP_LIMIT = 1_000;
const SEND_WAKE_UPS_MS = 20_000;

/** Announces to QStash due runs that no process has claimed, and runs whose sleep has ended. */
export class WakeUpSweep implements Pick<Sweep, 'run' | 'failure'> {
  readonly failure = 'sweep: could not announce due runs';

  constructor(
    private readonly runtime: Pick<HostDependencies, 'database' | 'admissions'>,
    private readonly publisher: Publisher,
    private readonly keys: () => readonly ClaimKey[],
    private readonly deploymentId: string,
  ) {}

  async run(): Promise<undefined> {
    const { database, admissions } = this.runtime;
    const until = performance.now() + SEND_WAKE_UPS_MS;
    const keys = this.keys();
    // This order matters: `wakeListed` makes runs due and announces them. If it came first,
    // `resendWakeUps` would announce these runs a second time.
    await this.sendAll(until, async () => {
      const wakeUps = await resendWakeUps(database, keys, this.deploymentId, SWEEP_LIMIT);
      return { wakeUps, count: wakeUps.length };
    });
    await this.sendAll(until, async () => {
      const { wakeUps, queued } = await wakeListed(database, SWEEP_LIMIT);
      for (const { queue, key } of queued) void admissions.request(queue, key);
      return { wakeUps, count: wakeUps.length + queued.length };
    });
    // The process may end after the sweep, and with it the announcements of admitted runs.
    await admissions.settled();
  }

  private async sendAll(until: number, find: () => Promise<{ wakeUps: readonly WakeUp[]; count: number }>): Promise<void> {
    for (;;) {
      const { wakeUps, count } = await find();
      await this.publisher.send(wakeUps);
      if (count < SWEEP_LIMIT || this.publisher.isPausing || performance.now() > until) return;
    }
  }
}
