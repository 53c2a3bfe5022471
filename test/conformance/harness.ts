import { afterAll, beforeAll } from '@jest/globals';

import type { WorkerOptions, WorkflowClient } from '../../src/index.js';
import { closeApplications, isPushed, startApplication, type TestApplication } from '../support/application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { spawnCompiled, type SpawnedProcess } from '../support/processes.js';
import { configured } from './configured.js';
import { WORKFLOWS } from './workflows.js';

/** The configured module, in this process and in processes that a test starts. */
export interface Stage {
  readonly client: WorkflowClient;
  readonly application: TestApplication;
  readonly database: TestDatabase;
  /**
   * Starts a worker with the same workflows in another process. The table `bodies` counts its
   * step bodies.
   */
  spawnWorker(worker?: WorkerOptions): Promise<SpawnedProcess>;
}

/** Starts the configured module for the tests of a file. */
export function useStage(worker: WorkerOptions | false): () => Stage {
  let stage: Stage | undefined;
  const spawned: SpawnedProcess[] = [];
  beforeAll(async () => {
    const database = await createTestDatabase();
    await database.query('CREATE TABLE bodies (run_id text, step_key text, pid int)');
    const application = await startApplication(database.url, WORKFLOWS, { ...configured(), worker });
    const spawnWorker = async (options: WorkerOptions = {}): Promise<SpawnedProcess> => {
      const front = isPushed() ? await (await import('../support/push-stage.js')).frontOf(database.url) : undefined;
      const settings = JSON.stringify({ url: database.url, worker: options, qstash: front?.options });
      const child = spawnCompiled('test/processes/conformance-worker.ts', { env: { CONFORMANCE_SETTINGS: settings } });
      spawned.push(child);
      const [, backend] = /^ready (.*)$/.exec(await child.waitForLine(/^ready /)) ?? [];
      if (backend) front?.add(backend);
      return child;
    };
    stage = { client: application.client, application, database, spawnWorker };
  });
  afterAll(async () => {
    for (const child of spawned) child.kill();
    await Promise.all(spawned.map((child) => child.exited));
    await closeApplications();
    await stage?.database.drop();
  });
  return () => stage!;
}
