import type { RunListener } from '../core/run-events.js';
import { databaseLabel } from '../store/database-label.js';
import { queuesOf } from './create-worker.js';
import type { FoundWorkflow } from './found-workflow.js';
import type { HostDependencies } from './host-dependencies.js';

type BootedModule = Pick<HostDependencies, 'settings' | 'database' | 'direct'>;

/**
 * Returns the log line that says what this process executes and where: workflows, queues,
 * transport, database, deployment id, and the state of the direct connection.
 */
export function executingLine(module: BootedModule, workflows: readonly FoundWorkflow[], deploymentId: string): string {
  const { transport, worker } = module.settings;
  const queues = queuesOf(module.settings, { queues: workflows.map(({ definition }) => definition.queue) });
  const names = workflows.map(({ definition }) => `${definition.name} v${definition.version}`).join(', ');
  const from = `${queues.length === 1 ? 'queue' : 'queues'} ${queues.map((queue) => `"${queue}"`).join(', ')}`;
  const driven = { poll: 'by polling', qstash: 'driven by QStash', both: 'by polling and driven by QStash' }[transport];
  const slots = transport === 'qstash' ? '' : `, step bodies of up to ${worker.concurrency} runs at a time`;
  return `worker: executes ${names} from ${from}, ${driven}${slots}; ${placeOf(module)}, deployment ${deploymentId}; ${notificationsOf(module)}`;
}

/**
 * Returns the log line of a process that only starts runs, while other processes execute them. The
 * caller logs the line as a warning, unless the application has set `worker: false`.
 */
export function startingOnlyLine(module: BootedModule, reason: string): string {
  return `worker: this process starts runs and executes none: ${reason}; ${placeOf(module)}`;
}

/** Names the database of the module, without the user and the password. */
function placeOf({ settings, database }: BootedModule): string {
  const { schema, environment, readReplica } = settings;
  const named = environment === undefined ? '' : `, environment "${environment}"`;
  const replica = readReplica === undefined ? '' : ', with a read replica';
  return `${databaseLabel(database.address)}, schema "${schema}"${named}${replica}`;
}

function notificationsOf({ direct }: BootedModule): string {
  if (!direct) return 'without notifications (listen: false)';
  return direct.isConnected ? 'with notifications' : 'without notifications until the direct connection opens';
}

/** Returns the log line that names the listeners of this process and their events. */
export function listeningLine(listeners: readonly RunListener[]): string {
  const names = listeners.map(({ name, event, workflow, delivery }) => {
    const runs = workflow === '' ? '' : ` of "${workflow}"`;
    return `${name} (${event}${runs}${delivery === 'durable' ? ', durable' : ''})`;
  });
  return `listeners: calls ${names.join(', ')}`;
}

/** Reason why a process with a worker executes no runs. */
export const NO_WORKFLOWS = 'no class with @Workflow of this module is among the providers';

/** Warning about a deployment id that stays the same when the application is built again. */
export const UNKNOWN_BUILD =
  'worker: found no files of this application, so a new build with the same workflow classes counts as the same deployment: set DEPLOYMENT_ID';
