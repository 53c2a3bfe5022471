import { DatabaseUnavailableError } from '../core/errors/index.js';
import type { AnyRunEvent, RunListener } from '../core/run-events.js';
import { newBatchStart } from '../core/batch.js';
import { computeQueueKey } from '../core/queue-key.js';
import { dueRun, type NewRun } from '../core/run.js';
import { workflowIdentityOf, type WorkflowIdentity } from '../core/workflow-metadata.js';
import { EventDispatcher } from '../maintenance/event-dispatcher.js';
import { EventMeetings } from '../store/event-meetings.js';
import { emitEvent } from '../store/sql/emit-event.js';
import type { Deployment } from './deployment.js';
import { newestClasses, type FoundWorkflow } from './found-workflow.js';
import type { HostDependencies } from './host-dependencies.js';

/** Creates the service that brings waits and events of a module together. */
export function createMeetings(runtime: Pick<HostDependencies, 'database' | 'payloads' | 'notifier' | 'warn' | 'metrics'>): EventMeetings {
  return new EventMeetings(runtime.database, runtime.payloads, runtime.notifier, {
    met: (waits) => runtime.metrics.eventsResumed.add(waits),
    failed: (error) => runtime.warn('events-not-dispatched', 'events: could not look for the events of a wait yet', error),
    unreadable: (seq, error) =>
      runtime.warn('event-unreadable', `events: this process cannot compare event ${seq} with a condition, so it fits none`, error),
  });
}

/** Creates the service that dispatches the events of a module. */
export function createEventDispatcher(
  runtime: HostDependencies,
  workflows: readonly FoundWorkflow[],
  deployment: Deployment,
): EventDispatcher {
  const { database, meetings, settings } = runtime;
  const classes = identitiesOf(workflows);
  return new EventDispatcher(database, meetings, {
    pollIntervalMs: settings.transport === 'qstash' ? Number.POSITIVE_INFINITY : settings.worker.maxPollIntervalMs,
    subscriptions: workflows.flatMap(({ subscriptions }) => subscriptions),
    workflows: new Set(workflows.map(({ definition }) => definition.name)),
    deploymentId: () => deployment.id,
    start: (run) => startRun(runtime, classes.get(run.name), run),
    metrics: runtime.metrics,
    handedOver: () => runtime.notify({ emitted: true }),
    warn: (code, message, error, fields) => runtime.warn(code, message, error, fields),
  });
}

/** Returns the newest version of each workflow. */
function identitiesOf(workflows: readonly FoundWorkflow[]): Map<string, WorkflowIdentity> {
  return new Map([...newestClasses(workflows)].map(([name, type]) => [name, workflowIdentityOf(type)]));
}

/**
 * Starts the run of a subscription. A run that cannot be stored, or for which `queueKey` throws, is
 * reported and left out, because it must not keep the event from its other receivers.
 */
async function startRun(runtime: HostDependencies, workflow: WorkflowIdentity | undefined, given: NewRun): Promise<void> {
  const { queueKey, batch } = workflow ?? {};
  const run = batch ? { ...given, batch: newBatchStart(batch) } : given;
  if (!queueKey) return storeRun(runtime, run);
  let key: string;
  try {
    key = computeQueueKey(queueKey, runtime.payloads.decode(run.input, 'input'));
  } catch (error) {
    return refuse(runtime, run, error as Error);
  }
  return storeRun(runtime, { ...run, queueKey: key });
}

function storeRun(runtime: HostDependencies, run: NewRun): Promise<void> {
  return new Promise((resolve, reject) => {
    runtime.journal.submit(
      { kind: 'start', runId: run.id, run, owned: false },
      (committed) => {
        if (committed.outcome === 'done') {
          runtime.metrics.runStarted(run.name);
          void runtime.due([dueRun(run, runtime.clock.now())]);
        } else if (committed.outcome === 'batched') {
          runtime.metrics.runStarted(run.name);
          const { queue, name, version, queueKey } = run;
          if (committed.announced) void runtime.due([{ queueKey, queue, name, version, ...committed.announced }]);
        } else if (committed.outcome === 'exists' && committed.name !== run.name) refuse(runtime, run, undefined);
        resolve();
      },
      (error) => {
        if (error instanceof DatabaseUnavailableError) return reject(error);
        refuse(runtime, run, error);
        resolve();
      },
    );
  });
}

function refuse(runtime: HostDependencies, { id, name }: NewRun, error: Error | undefined): void {
  const why = error === undefined ? ': its id belongs to a run of another workflow' : '';
  runtime.warn('event-start-refused', `events: run "${id}" of "${name}" could not be started${why}`, error, { runId: id, workflow: name });
}

/**
 * Returns listeners that emit run events as events, with the run's id as their key. A listener is
 * called at least once for each run event, and the id of the event makes the emit happen once.
 */
export function emittingListeners(runtime: HostDependencies): RunListener[] {
  const { journal, payloads, settings } = runtime;
  return settings.emittedRunEvents.map((name) => ({
    key: `${EMITTER} ${name}`,
    name: EMITTER,
    event: name,
    workflow: '',
    delivery: 'in process',
    call: async (event: AnyRunEvent) => {
      const payload = payloads.encode(event, 'payload', '', 'event');
      await emitEvent(journal, { name, id: event.id, key: event.runId, payload, runId: event.runId, traceContext: null });
      runtime.eventsEmitted('this process');
    },
  }));
}

/** Name under which run events wait until they are emitted. */
const EMITTER = 'durable-emitter';
