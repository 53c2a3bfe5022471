import { DEFAULT_QUEUE } from '../core/workflow-metadata.js';
import type { WarningCode } from '../core/warning-codes.js';
import { emitEvent } from '../store/sql/emit-event.js';
import { verifyReplay } from '../engine/verify-replay.js';
import type { WorkerEvents } from '../worker/worker-types.js';
import { WorkflowRegistry } from '../worker/registry.js';
import { Session } from '../worker/session.js';
import { StepGates } from '../worker/step-gates.js';
import { Worker } from '../worker/worker.js';
import type { HostDependencies } from './host-dependencies.js';
import type { ModuleSettings } from './settings.js';

/**
 * Milliseconds that a cancelled run may spend in the `catch` and `finally` blocks of its workflow's
 * code.
 */
const CANCEL_GRACE_MS = 30_000;
/**
 * Milliseconds that a replay waits for the code to make a recorded call. The code may do ordinary
 * I/O before that call.
 */
const REPLAY_STALL_MS = 30_000;

/** Worker and the session under which it owns runs. */
export interface WorkerParts {
  readonly worker: Worker;
  readonly session: Session;
  readonly gates: StepGates;
}

/**
 * Returns the queues from which a worker executes runs: those in the options, or else the default
 * queue and the queues of its workflows.
 */
export function queuesOf({ worker }: ModuleSettings, registry: { readonly queues: readonly string[] }): readonly string[] {
  return worker.queues ?? [...new Set([DEFAULT_QUEUE, ...registry.queues])];
}

/** Creates a worker and its session. */
export function createWorker(
  runtime: HostDependencies,
  registry: WorkflowRegistry,
  deploymentId: string,
  takes: 'due' | 'named',
  events: WorkerEvents,
): WorkerParts {
  const { settings, database, clock } = runtime;
  const options = settings.worker;
  const environment = process.env['NODE_ENV'];
  const isDevelopment = environment !== 'production';
  const verify = options.verifyReplay === 'always' || (options.verifyReplay === 'auto' && isDevelopment);
  const failed = (code: WarningCode, what: string) => (error: unknown) => runtime.warn(code, what, error);
  const queues = queuesOf(settings, registry);
  const session = new Session(database, clock, runtime.direct, {
    ttlMs: options.sessionTtlMs,
    deploymentId,
    serves: registry.keys(queues),
    lost: (id) => void worker.fenced(id),
    moved: () => void worker.serverMoved().catch(failed('failover-check-failed', 'session: could not compare runs with the new server')),
    failed: failed('session-renewal-failed', 'session: could not renew the session'),
  });
  const gates = new StepGates(database, {
    sessionId: () => session.id,
    clock,
    failed: failed('limit-failed', 'worker: could not take a place of a limit for a step; trying again'),
  });
  const worker: Worker = new Worker(
    database,
    runtime.journal,
    runtime.notifier,
    registry,
    session,
    {
      concurrency: options.concurrency,
      queues,
      clock,
      suspendAfterMs: options.suspendAfterMs,
      shutdownTimeoutMs: options.shutdownTimeoutMs,
      eagerStart: options.eagerStart && takes === 'due',
      takes,
      deploymentId,
      onMismatch: options.onMismatch === 'auto' ? (environment === 'test' ? 'fail' : 'block') : options.onMismatch,
      metrics: runtime.metrics,
      transactions: runtime.transactions.of({
        get fence() {
          return session.fence;
        },
        lost: (id) => void worker.fenced(id),
        moved: () => worker.serverMoved(),
      }),
      emitted: {
        emit: async (event) => {
          await emitEvent(runtime.journal, event);
          runtime.eventsEmitted('this process');
        },
        opened: (runId, stepKey) => {
          runtime.meetings.opened(runId, stepKey);
          runtime.eventExpected();
        },
      },
      engine: {
        payloads: runtime.payloads,
        isDevelopment,
        verifyReplay: verify ? verifyReplay : undefined,
        cancelGraceMs: CANCEL_GRACE_MS,
        replayStallMs: REPLAY_STALL_MS,
        now: () => clock.now(),
        isSure: () => session.isFresh,
        isClosing: () => worker.isClosing,
        log: (workflow, runId, line) => runtime.logger.runLine(workflow, runId, line),
        starts: runtime.starts,
        limits: gates,
        hookUrl: (token) => runtime.hookUrl(token),
        hookSchemas: runtime.hookSchemas,
        ...runtime.engine,
      },
    },
    events,
  );
  return { worker, session, gates };
}
