import { AsyncLocalStorage } from 'node:async_hooks';

import type { DataSource } from 'typeorm';

import type { WorkflowClient } from '../client/client.js';
import type { ManualClock } from '../core/manual-clock.js';
import type { EngineSettings } from '../engine/ports.js';
import type { Admissions } from '../store/admissions.js';
import type { Database } from '../store/database.js';
import type { Journal } from '../store/journal.js';
import type { RunNotifier } from '../store/run-notifier.js';
import type { ModuleSettings } from './settings.js';
import type { WorkerHosts } from './worker-hosts.js';

/** Runtime of a module, for the test that created it. */
export interface ScopedRuntime {
  /** The module's name; undefined for the module without a name. */
  readonly name: string | undefined;
  readonly settings: ModuleSettings;
  readonly database: Database;
  readonly client: WorkflowClient;
  readonly workers: WorkerHosts;
  readonly notifier: RunNotifier;
  readonly admissions: Pick<Admissions, 'isBusy' | 'request'>;
  readonly journal: Pick<Journal, 'load'>;
}

/** Replacements with which a test creates the runtimes of an application. */
export interface RuntimeScope {
  readonly clock: ManualClock;
  readonly engine: Partial<EngineSettings>;
  /**
   * Returns the settings of a runtime.
   *
   * @param given settings that the application asks for
   * @param dataSource DataSource of the application; undefined when the application has none
   */
  settingsOf(given: ModuleSettings, dataSource: DataSource | undefined): ModuleSettings;
  /** Called when a runtime has been created. */
  created(runtime: ScopedRuntime): void;
}

/**
 * Scope of the code that creates an application for a test. Outside of such code there is no scope,
 * and a module uses the options that the application gives.
 */
export const runtimeScope = new AsyncLocalStorage<RuntimeScope>();
