import type { RunListener } from '../core/run-events.js';
import type { ModuleSettings } from './settings.js';
import type { FoundWorkflow } from './found-workflow.js';
import { queuesOf } from './create-worker.js';

/**
 * Returns the log line that names the workflows that this process executes, their queues, and the
 * deployment id.
 */
export function executingLine(workflows: readonly FoundWorkflow[], deploymentId: string, settings: ModuleSettings): string {
  const queues = queuesOf(settings, { queues: workflows.map(({ definition }) => definition.queue) });
  const names = workflows.map(({ definition }) => `${definition.name} v${definition.version}`).join(', ');
  const from = `${queues.length === 1 ? 'queue' : 'queues'} ${queues.map((queue) => `"${queue}"`).join(', ')}`;
  const { transport, worker, schema } = settings;
  const driven = transport === 'poll' ? '' : transport === 'qstash' ? ', driven by QStash' : ', by polling and driven by QStash';
  return `worker: executes ${names} from ${from}${driven}, step bodies of up to ${worker.concurrency} runs at a time; schema "${schema}", deployment ${deploymentId}`;
}

/**
 * Returns the log line of a process that only starts runs, while other processes execute them. The
 * caller logs the line as a warning, unless the application has set `worker: false`.
 */
export function startingOnlyLine(reason: string): string {
  return `worker: this process starts runs and executes none: ${reason}`;
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
