import type { DynamicModule, Type } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import type { WorkflowClient, WorkflowModuleOptions } from 'nestjs-durable';

import type { Workload } from './arguments.js';
import { BOOKINGS } from './bookings.js';
import { Batched, LIMITED, QUEUES, STEP_LIMITS } from './limits.js';
import type { CallInput } from './shapes.js';
import { TRANSFERS } from './transfers.js';
import type { StartRequest } from './worker-messages.js';
import { WORKFLOWS } from './workflows.js';

/** The workflows of the chaos test. */
export const workflowsOf = (workload: Workload): Type[] => (workload === 'limits' ? LIMITED : [...WORKFLOWS, ...BOOKINGS, ...TRANSFERS]);

/** The limits of the module, which only the workload `limits` has. */
export const limitsOf = (workload: Workload): Pick<WorkflowModuleOptions, 'queues' | 'limits'> =>
  workload === 'limits' ? { queues: QUEUES, limits: STEP_LIMITS } : {};

/**
 * Starts a run as a request asks. Batches are started by their class, because only then their
 * members share a run.
 */
export async function startAsked(client: WorkflowClient, { name, input, options }: Omit<StartRequest, 'kind'>): Promise<string> {
  const handle = name === 'batched' ? await client.start(Batched, input as CallInput, options) : await client.start(name, input, options);
  return handle.runId;
}

/** The application's DataSource, on which the transactional steps are executed. */
export const bankOf = (url: string): DynamicModule =>
  TypeOrmModule.forRoot({
    type: 'postgres',
    url,
    applicationName: 'chaos-bank',
    // The fleet replaces a process that cannot connect at boot, so one attempt is enough.
    retryAttempts: 1,
    extra: { max: 3, connectionTimeoutMillis: 3_000 },
  });
