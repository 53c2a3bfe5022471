import { createHash } from 'node:crypto';

import type { WorkflowClient } from '../client/client.js';
import { LISTENER_WORKFLOW_PREFIX, type AnyRunEvent, type RunListener } from '../core/run-events.js';
import { nameOfThrown } from '../core/thrown.js';
import type { WorkflowContext } from '../engine/workflow-context.js';
import { ListenerDelivery } from '../maintenance/listener-delivery.js';
import { cut } from '../core/serializer/error-budget.js';
import { queuesOf } from './create-worker.js';
import type { FoundWorkflow } from './found-workflow.js';
import type { HostDependencies } from './host-dependencies.js';
import type { ModuleSettings } from './settings.js';

/** Name of the step in which a durable listener is called. */
const CALL = 'call';

/** Name of the workflow that calls a durable listener. */
function workflowOf({ name }: RunListener): string {
  return `${LISTENER_WORKFLOW_PREFIX}${name}`;
}

/** Queue of the runs that call durable listeners: one from which this process executes runs. */
function queueOf(settings: ModuleSettings): string {
  return queuesOf(settings, { queues: [] })[0]!;
}

/**
 * Builds the workflows that call the durable listeners: one for each method, with a single step. A
 * failed call is retried as any other step is. Its time limit is shorter than that of other steps,
 * because calls that hang must not keep the slots of the worker for long.
 */
export function listenerWorkflows(listeners: readonly RunListener[], settings: ModuleSettings): FoundWorkflow[] {
  const durable = new Map(listeners.filter(({ delivery }) => delivery === 'durable').map((each) => [each.name, each]));
  const { retry, listenerTimeoutMs, longestStepMs, runTimeoutMs } = settings;
  return [...durable.values()].map((listener) => ({
    definition: {
      name: workflowOf(listener),
      version: 1,
      queue: queueOf(settings),
      retry,
      stepTimeoutMs: listenerTimeoutMs,
      longestStepMs,
      runTimeoutMs,
      owns: () => false,
      invoke: async (event: unknown, ctx: WorkflowContext): Promise<void> => {
        await ctx.step(CALL, async () => void (await listener.call(event as AnyRunEvent)));
      },
    },
    type: undefined,
    source: workflowOf(listener),
    retention: undefined,
    subscriptions: [],
  }));
}

/** Creates the service that calls the listeners of a module. */
export function createListenerDelivery(
  runtime: HostDependencies & { readonly client: WorkflowClient },
  listeners: readonly RunListener[],
): ListenerDelivery {
  const { database, payloads, settings, client } = runtime;
  const queue = queueOf(settings);
  return new ListenerDelivery(database, listeners, {
    payloads,
    pollIntervalMs: settings.transport === 'qstash' ? Number.POSITIVE_INFINITY : settings.worker.maxPollIntervalMs,
    stopTimeoutMs: settings.worker.shutdownTimeoutMs,
    startRun: async (listener, event) => {
      const tags = { runEvent: event.event, runId: event.runId };
      await client.start(workflowOf(listener), toInput(event, settings.maxPayloadBytes), {
        id: idOf(listener, event),
        queue,
        tags,
        manager: 'none',
      });
    },
    metrics: runtime.metrics,
    // With a codec, error messages must not appear in the log in plain text.
    warn: (code, message, error, fields) =>
      runtime.warn(code, message, settings.codec && error !== undefined ? nameOfThrown(error) : error, fields),
    failed: (error) => runtime.warn('listeners-unavailable', 'listeners: could not read or write events; trying again', error),
  });
}

/**
 * Returns the id of the run that calls a durable listener. Every process that takes the event gets
 * the same id, so only one run starts.
 */
function idOf({ key }: RunListener, { runId, id, event }: AnyRunEvent): string {
  const digest = createHash('sha256').update([runId, event, key, id].join('\n')).digest('hex').slice(0, 32);
  return `${event}:${digest}`;
}

/**
 * Returns the input of the run that calls a durable listener. The message of the error is cut to a
 * quarter of the largest payload, because a run whose input is too large could never start.
 */
function toInput(event: AnyRunEvent, maxPayloadBytes: number): AnyRunEvent {
  if (!('error' in event)) return event;
  const { error } = event;
  let { message } = error;
  for (let { length } = message; Buffer.byteLength(JSON.stringify(message)) > maxPayloadBytes / 4; message = cut(error.message, length))
    length = Math.floor(length / 2);
  return message === error.message ? event : { ...event, error: { ...error, message } };
}
