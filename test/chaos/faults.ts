import { setTimeout as sleep } from 'node:timers/promises';

import type { Workload } from './arguments.js';
import { withClient, type ChaosDatabase } from './database.js';
import type { ChaosWorker, Fleet } from './fleet.js';
import type { FaultKind, PlannedFault } from './plan.js';

/** Milliseconds for which a killed process stays away. */
const AWAY_MS = 300;

/** Text of messages that commit: claims, flushes, and the transactions of steps. */
const COMMITS = ['durable_claim\0', 'durable_flush_', 'COMMIT\0', 'durable_flush_'];

/** Does one thing after another to the fleet and its database. */
export class Faults {
  /** Number of faults of each kind. */
  readonly done = new Map<FaultKind, number>();
  /** Number of faults that were skipped because no suitable worker was up. */
  skipped = 0;

  constructor(
    private readonly fleet: Fleet,
    private readonly database: ChaosDatabase,
    private readonly workload: Workload,
  ) {}

  /** Resolves when the fault is over. */
  async happen(fault: PlannedFault): Promise<void> {
    const { kind } = fault;
    if ((await this.doIt(fault)) === 'skipped') this.skipped++;
    else this.done.set(kind, (this.done.get(kind) ?? 0) + 1);
  }

  private doIt({ kind, worker, durationMs, count }: PlannedFault): Promise<unknown> {
    switch (kind) {
      case 'kill':
        return this.to(worker, isMortal, (victim) => restart(victim, 'SIGKILL'));
      case 'term':
        return this.to(worker, isMortal, (victim) => restart(victim, 'SIGTERM'));
      case 'freeze':
      case 'blink':
        return this.to(worker, undefined, async (victim) => {
          victim.signal('SIGSTOP');
          await sleep(durationMs);
          victim.signal('SIGCONT');
          await this.thawed(victim);
        });
      case 'cut':
        return this.to(worker, hasProxy, async ({ proxy }) => proxy!.cutAll());
      case 'refuse':
        return this.to(worker, hasProxy, async ({ proxy }) => {
          proxy!.refuse();
          await sleep(durationMs);
          proxy!.restore();
        });
      case 'silence':
        return this.to(worker, hasProxy, async ({ proxy }) => {
          proxy!.silence();
          await sleep(durationMs);
          proxy!.restore();
        });
      case 'cut after commit':
        return this.to(worker, hasProxy, async ({ proxy }) => {
          // Nothing more may come to pass there: not waited for.
          void proxy!.cutAfterCommit(COMMITS[count % COMMITS.length]!, 1 + (count % 3));
        });
      case 'terminate':
        return this.database.query(
          `SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity
           WHERE datname = current_database() AND (application_name LIKE 'nestjs-durable%' OR application_name = 'chaos-bank') ORDER BY random() LIMIT $1) AS victims`,
          [count],
        );
      case 'lock':
        return this.held(durationMs, 'BEGIN', [
          `SELECT id FROM durable.workflow_runs WHERE id IN
             (SELECT id FROM durable.workflow_runs WHERE finished_at IS NULL ORDER BY random() LIMIT ${count}) ORDER BY id FOR UPDATE`,
        ]);
      case 'snapshot':
        return this.held(durationMs, 'BEGIN ISOLATION LEVEL REPEATABLE READ', ['SELECT count(*) FROM durable.workflow_runs']);
    }
  }

  /** Records that a process continues, for the checks of limits. */
  private async thawed({ pid }: ChaosWorker): Promise<void> {
    if (this.workload === 'limits') await this.database.query('INSERT INTO thaws VALUES ($1, clock_timestamp())', [pid]);
  }

  private async to(
    index: number,
    isFit: ((worker: ChaosWorker) => boolean) | undefined,
    work: (worker: ChaosWorker) => Promise<void>,
  ): Promise<unknown> {
    const victim = this.fleet.pick(index, isFit);
    if (!victim) return 'skipped';
    victim.state = 'busy';
    await work(victim);
    // A worker that has ended is on its own way up.
    if (victim.state === 'busy') victim.state = 'up';
    return undefined;
  }

  /** A transaction that stays open. */
  private held(ms: number, begin: string, statements: readonly string[]): Promise<void> {
    return withClient(this.database.url, async (client) => {
      await client.query(begin);
      try {
        for (const statement of statements) await client.query(statement);
      } catch (error) {
        // In a deadlock, it may be this transaction that loses.
        if ((error as { code?: unknown }).code !== '40P01') throw error;
      }
      await sleep(ms);
      await client.query('ROLLBACK');
    });
  }
}

const isMortal = (worker: ChaosWorker): boolean => !worker.isElder;
const hasProxy = (worker: ChaosWorker): boolean => worker.proxy !== undefined;

async function restart(victim: ChaosWorker, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  await victim.end(signal);
  await sleep(AWAY_MS);
  await victim.start();
}
