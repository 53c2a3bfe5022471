import type { DataSource } from 'typeorm';

import type { ManualClock } from '../core/manual-clock.js';
import type { RuntimeScope, ScopedRuntime } from '../host/runtime-scope.js';
import type { ModuleSettings } from '../host/settings.js';
import type { TestDatabase } from './database/test-database.js';
import { WorkflowTestError } from './errors.js';
import { testedEngine, type TestedEngine } from './tested-engine.js';

/** Milliseconds that bodies may take to end when the test closes the application. */
const SHUTDOWN_MS = 100;

/** Scope in which the kit creates an application: its modules work on the test's own database. */
export class TestScope implements RuntimeScope {
  readonly engine: TestedEngine;
  readonly runtimes: ScopedRuntime[] = [];

  constructor(
    private readonly database: TestDatabase,
    readonly clock: ManualClock,
    verifies: 'verifies' | 'trusts',
  ) {
    this.engine = testedEngine(clock, verifies);
  }

  /**
   * Returns the settings of the application, on the test's database and with a worker that suspends
   * a run at each wait. Each pass after a wait is therefore a replay.
   */
  settingsOf(given: ModuleSettings, dataSource: DataSource | undefined): ModuleSettings {
    const usesDataSource = dataSource !== undefined && given.connection === undefined;
    if (usesDataSource) this.checkDataSource(dataSource);
    return {
      ...given,
      connection: usesDataSource ? undefined : { url: this.database.url },
      autoMigrate: true,
      deploymentId: given.deploymentId ?? 'test',
      environment: undefined,
      workerStart: 'boot',
      worker: {
        ...given.worker,
        suspendAfterMs: 0,
        shutdownTimeoutMs: Math.min(given.worker.shutdownTimeoutMs, SHUTDOWN_MS),
        onMismatch: 'fail',
      },
      transport: 'poll',
      qstash: undefined,
      longestStepMs: undefined,
      pooler: undefined,
      listen: false,
      readReplica: undefined,
    };
  }

  created(runtime: ScopedRuntime): void {
    this.runtimes.push(runtime);
  }

  /** Refuses a DataSource that was connected before the kit could redirect the connection. */
  private checkDataSource({ driver }: DataSource): void {
    if (driver.database === this.database.name) return;
    throw new WorkflowTestError(
      `the application's DataSource was connected to database "${driver.database}" before WorkflowTest.create: let TypeOrmModule connect it, ` +
        'so that the test works on its own database',
    );
  }
}
