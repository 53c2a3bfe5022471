import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { changeOf, JournalFixture, startOf, waitOf, type OpenJournal } from '../../test/support/faults/journal-fixture.js';
import { quietNotifier, requestCancel } from '../../test/support/faults/requests.js';
import { waitFor } from '../../test/support/wait.js';
import { DatabaseClock } from '../core/clock.js';
import { Payloads } from '../core/payloads.js';
import { DEFAULT_RETRY_POLICY } from '../core/retry-policy.js';
import { DurableMetrics } from '../core/metrics/durable-metrics.js';
import { HookSchemas } from '../core/hook-schemas.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import { Database, type Statement } from '../store/database.js';
import { Journal } from '../store/journal.js';
import { WorkflowRegistry } from './registry.js';
import { Session } from './session.js';
import { Worker } from './worker.js';

/** Delays every read of inboxes while the gate is closed. */
class GatedDatabase extends Database {
  asked = 0;
  /** Number of queries for the wake counters of runs. */
  comparisons = 0;
  open!: () => void;
  private readonly opened = new Promise<void>((resolve) => (this.open = resolve));

  override async query<Row extends unknown[]>(statement: Statement, values: unknown[]): Promise<Row[]> {
    if (statement.name === 'durable_moved_runs') this.comparisons++;
    if (statement.name === 'durable_read_inbox') {
      this.asked++;
      await this.opened;
    }
    return super.query<Row>(statement, values);
  }
}

const definition = {
  name: 'order',
  version: 1,
  queue: 'default',
  owns: () => false,
  retry: DEFAULT_RETRY_POLICY,
  stepTimeoutMs: 60_000,
  invoke: async (_input: unknown, ctx: WorkflowContext): Promise<void> => {
    try {
      await ctx.sleep('1 day');
    } finally {
      await ctx.step('tidy', () => 'tidied');
    }
  },
};

const ignore = (): void => undefined;
const refuse = (): never => {
  throw new Error('no runs are started here');
};

describe('a claimed run whose inbox has not been read', () => {
  let fixture: JournalFixture;
  let open: OpenJournal;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    fixture = await JournalFixture.create();
    open = await fixture.journal();
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  afterAll(() => fixture.close());

  async function start(database: Database): Promise<void> {
    const clock = new DatabaseClock();
    const journal = new Journal(database, clock, { fenced: ignore, moved: () => Promise.resolve(), trouble: ignore });
    const session = new Session(database, clock, undefined, {
      ttlMs: 60_000,
      deploymentId: 'test',
      serves: [],
      lost: ignore,
      moved: ignore,
      failed: ignore,
    });
    const engine = {
      payloads: new Payloads(1_000, undefined),
      isDevelopment: true,
      cancelGraceMs: 30_000,
      replayStallMs: 30_000,
      now: () => clock.now(),
      isSure: () => true,
      isClosing: () => false,
      log: () => undefined,
      starts: { check: refuse, idFor: refuse },
      hookUrl: String,
      hookSchemas: new HookSchemas(),
    };
    const options = {
      concurrency: 5,
      queues: ['default'],
      clock,
      suspendAfterMs: 1,
      shutdownTimeoutMs: 10,
      eagerStart: false,
      onMismatch: 'block' as const,
      takes: 'due' as const,
      deploymentId: 'test',
      engine,
      metrics: new DurableMetrics(),
      transactions: { execute: refuse },
      emitted: { emit: refuse, opened: () => undefined },
    };
    const events = {
      ended: ignore,
      suspended: ignore,
      due: () => Promise.resolve(),
      messaged: ignore,
      returned: ignore,
      placeFreed: ignore,
      streamed: ignore,
      endedElsewhere: ignore,
      attemptFailed: ignore,
      log: ignore,
    };
    const worker = new Worker(database, journal, quietNotifier(database), new WorkflowRegistry([definition]), session, options, events);
    closing.push(
      () => worker.stop(),
      () => database.close(),
    );
    await worker.start();
  }

  it('is not suspended, and takes a cancellation, when the read of its inbox takes long', async () => {
    await open.submit(startOf('run', true));
    await open.submit(waitOf('run', 'sleep'));
    await open.submit(changeOf('run', { status: 'pending' }));
    const run = async (): Promise<{ status: string; epoch: number }> =>
      (await fixture.admin.query(`SELECT status, epoch FROM durable.workflow_runs WHERE id = 'run'`))[0];
    const database = new GatedDatabase({ connectionString: fixture.admin.url }, { poolSize: 3 });
    await start(database);
    await waitFor(() => database.asked === 1);
    await requestCancel(open.database, 'run', '{}', '{}');
    // Wait until the worker has either suspended the run, or failed to and queried the counters
    // again.
    await waitFor(async () => database.comparisons > 0 || (await run()).status === 'waiting');
    expect(await run()).toEqual({ status: 'running', epoch: 2 });
    database.open();
    await waitFor(async () => (await run()).status === 'cancelled');
    expect(await run()).toEqual({ status: 'cancelled', epoch: 2 });
    const steps = await fixture.admin.query('SELECT step_key FROM durable.workflow_steps ORDER BY seq');
    expect(steps).toEqual([{ step_key: '$cancel' }, { step_key: 'tidy' }]);
  });
});
