import type { TestingModule } from '@nestjs/testing';

import type { WorkflowClient } from '../../src/index.js';

/** A Nest application context with a worker, on a database of a test. */
export interface TestApplication {
  readonly client: WorkflowClient;
  readonly module: TestingModule;
  close(): Promise<void>;
}
