import { setTimeout as sleep } from 'node:timers/promises';

import type { ChaosDatabase } from '../database.js';

const TICK_MS = 1_000;
/**
 * Factor by which the waiting time of a run in the outbox passes faster: a minute in two seconds.
 */
const HASTE = 30;

const HASTEN = [
  `UPDATE durable.workflow_runs SET ready_at = ready_at - $1::float8 * interval '1 second' WHERE status = 'pending'`,
  `UPDATE durable.workflow_outbox SET next_at = next_at - $1::float8 * interval '1 second'`,
];

/**
 * Calls the sweep each second, where a schedule calls it each minute, and lets time pass
 * accordingly.
 */
export class Ticker {
  private isOver = false;
  private readonly ticking: Promise<void>;

  constructor(
    private readonly database: ChaosDatabase,
    private readonly callSweep: () => Promise<unknown>,
  ) {
    this.ticking = this.tick();
  }

  async stop(): Promise<void> {
    this.isOver = true;
    await this.ticking;
  }

  private async tick(): Promise<void> {
    for (let before = performance.now(); !this.isOver; await sleep(TICK_MS)) {
      const elapsed = (performance.now() - before) / 1_000;
      before = performance.now();
      for (const sql of HASTEN) await this.database.query(sql, [elapsed * HASTE]);
      // One that QStash refuses is followed by another.
      await this.callSweep().catch(() => undefined);
    }
  }
}
