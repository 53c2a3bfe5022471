import type { QStashOptions } from '../../../src/index.js';
import { startApplication, type TestApplication } from '../application.js';
import { createTestDatabase, type TestDatabase } from '../database.js';
import { spawnCompiled, type SpawnedProcess } from '../processes.js';
import { FaultProxy } from './proxy.js';

export interface FaultWorkerOptions {
  /** The program of the worker: a file of `test/processes`. (default: `fault-worker.ts`) */
  program?: string;
  /** The URL to which the worker connects instead of the database's own. */
  url?: string;
  worker?: Record<string, unknown>;
  listen?: boolean | { url: string };
  pooler?: 'transaction';
  hooks?: boolean;
  variant?: 'old' | 'new' | 'fits both';
  deploymentId?: string;
  /** Milliseconds by which the worker's clock is ahead of the database's. */
  skewMs?: number;
  /** Driven by QStash, with these options; it prints where it listens. */
  qstash?: QStashOptions;
  /** With `qstash`: whether its worker polls as well. */
  transport?: 'qstash' | 'both';
  /** The id of a run of `gated` that the worker starts itself. */
  starts?: string;
}

/** A database of a test, a client in this process, and workers in others. */
export class FaultScene {
  private readonly workers: SpawnedProcess[] = [];

  private constructor(
    readonly database: TestDatabase,
    /** The database that counts bodies and holds gates. */
    readonly counts: TestDatabase,
    readonly application: TestApplication,
  ) {}

  /**
   * @param given a database of the caller's, which `close` drops
   * @param counts another one, where the given one forgets
   */
  static async create(given?: TestDatabase, counts?: TestDatabase): Promise<FaultScene> {
    const database = given ?? (await createTestDatabase());
    const counting = counts ?? database;
    await counting.query(`CREATE TABLE bodies (run_id text, step_key text, pid int, at timestamptz DEFAULT clock_timestamp());
      CREATE INDEX ON bodies (run_id); CREATE TABLE gates (run_id text)`);
    return new FaultScene(database, counting, await startApplication(database.url, [], { worker: false }));
  }

  /** Starts a worker process; it is ready when it has printed so. */
  spawn(options: FaultWorkerOptions = {}): SpawnedProcess {
    const { deploymentId, url = this.database.url, program = 'fault-worker.ts', ...rest } = options;
    const worker = spawnCompiled(`test/processes/${program}`, {
      env: {
        FAULT_SETTINGS: JSON.stringify({ url, countUrl: this.counts.url, ...rest }),
        ...(deploymentId === undefined ? {} : { DEPLOYMENT_ID: deploymentId }),
      },
    });
    this.workers.push(worker);
    return worker;
  }

  async ready(options: FaultWorkerOptions = {}): Promise<SpawnedProcess> {
    const worker = this.spawn(options);
    await worker.waitForLine(/^ready$/);
    return worker;
  }

  /** Starts runs by name, and returns their ids. */
  async start(name: string, input: unknown, ids: readonly string[]): Promise<void> {
    await Promise.all(ids.map((id) => this.application.client.start(name, input, { id })));
  }

  /** Lets the bodies of these gated runs return. */
  async open(ids: readonly string[]): Promise<void> {
    await this.counts.query('INSERT INTO gates SELECT unnest($1::text[])', [ids]);
  }

  /** Number of runs in each status. */
  async statuses(prefix = ''): Promise<Record<string, number>> {
    const rows = await this.database.query<{ status: string; count: number }>(
      'SELECT status, count(*)::int FROM durable.workflow_runs WHERE starts_with(id, $1) GROUP BY 1',
      [prefix],
    );
    return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
  }

  /** The pids of the processes that have executed a body of the run, oldest first. */
  async pidsOf(runId: string, stepKey: string): Promise<number[]> {
    const rows = await this.counts.query<{ pid: number }>('SELECT pid FROM bodies WHERE run_id = $1 AND step_key = $2 ORDER BY at', [
      runId,
      stepKey,
    ]);
    return rows.map(({ pid }) => pid);
  }

  /**
   * Everything stored for a run, with the versions of its rows. Changes when anything is written.
   */
  async fingerprint(runId: string): Promise<string> {
    const parts = await Promise.all(
      ['runs', 'steps', 'waits', 'run_log', 'inbox'].map((table) =>
        this.database.query(
          `SELECT t.xmin::text, t.ctid::text, t::text AS row FROM durable.workflow_${table} t WHERE ${table === 'runs' ? 'id' : 'run_id'} = $1 ORDER BY t.ctid`,
          [runId],
        ),
      ),
    );
    return JSON.stringify(parts);
  }

  async sessions(): Promise<number[]> {
    const rows = await this.database.query<{ pid: number }>('SELECT pid FROM durable.workflow_sessions ORDER BY id');
    return rows.map(({ pid }) => pid);
  }

  /**
   * Makes the session of a stopped worker look as if it had not been renewed for a minute. Its lock
   * counts for at most ten times the session's time to live.
   */
  async neglect(worker: SpawnedProcess): Promise<void> {
    await this.database.query(
      `UPDATE durable.workflow_sessions SET heartbeat_at = now() - interval '1 minute', expires_at = now() - interval '58 seconds' WHERE pid = $1`,
      [worker.child.pid],
    );
  }

  async close(): Promise<void> {
    for (const worker of this.workers) worker.kill('SIGKILL');
    await Promise.all(this.workers.map((worker) => worker.exited));
    await this.application.close();
    await Promise.all([...new Set([this.database, this.counts])].map((database) => database.drop()));
  }
}

export const range = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Troubles in the log of a worker that never received SIGTERM. */
export function troublesOf(worker: SpawnedProcess): string[] {
  const { exitCode, signalCode } = worker.child;
  const ended = exitCode === null && signalCode === null ? [] : [`ended: ${exitCode ?? signalCode}`, ...worker.stderrLines];
  return [...worker.stdoutLines.filter((line) => /^(ERROR|UNHANDLED)/.test(line)), ...ended];
}

/** A test on a scene with a proxy before its database. */
export function onProxy(test: (scene: FaultScene, proxy: FaultProxy) => Promise<void>): () => Promise<void> {
  return onScene(async (scene) => {
    const proxy = await FaultProxy.start(scene.database.url);
    try {
      await test(scene, proxy);
    } finally {
      await proxy.stop();
    }
  });
}

/**
 * Runs a test on a scene of its own, which may run beside others. Nothing of the scene remains,
 * however the test ends.
 */
export function onScene(test: (scene: FaultScene) => Promise<void>): () => Promise<void> {
  return async () => {
    const scene = await FaultScene.create();
    try {
      await test(scene);
    } finally {
      await scene.close();
    }
  };
}
