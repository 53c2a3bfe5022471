import { failureOf } from '../core/failure.js';
import type { AnyRunEvent, RunEventError } from '../core/run-events.js';
import type { Payloads } from '../core/payloads.js';
import type { TakenEvent } from '../store/sql/deliver-events.js';

/** Builds the event that a listener receives. */
export function toRunEvent(taken: TakenEvent, payloads: Payloads): AnyRunEvent {
  const { facts, event } = taken;
  const base = {
    id: taken.id,
    runId: taken.runId,
    workflow: facts.workflow,
    version: facts.version,
    queue: facts.queue,
    generation: facts.generation,
    tags: taken.tags,
    occurredAt: new Date(taken.occurredAt),
    createdAt: new Date(facts.createdAt),
    startedAt: facts.startedAt === null ? undefined : new Date(facts.startedAt),
  };
  const error = (): RunEventError => errorOf(taken, payloads);
  switch (event) {
    case 'run.completed':
      return { event, ...base, status: 'completed' };
    case 'run.failed':
      return { event, ...base, status: 'failed', error: error(), failedStep: facts.failedStep ?? undefined };
    case 'run.cancelled':
      return { event, ...base, status: 'cancelled', error: error() };
    case 'run.blocked':
      return { event, ...base, status: 'waiting', error: error() };
    case 'run.workerLost':
      return { event, ...base, status: facts.status === 'failed' ? 'failed' : 'pending', losses: facts.losses ?? 1 };
    case 'step.failed':
      return { event, ...base, status: 'running', stepKey: facts.stepKey ?? '', attempts: facts.attempts ?? 1, error: error() };
  }
}

/** Describes the stored error of an event, without its stack and its data. */
function errorOf({ error, facts }: TakenEvent, payloads: Payloads): RunEventError {
  // The entry in the run's log that says why the run is blocked was deleted.
  if (error === null) return { name: 'Error', message: 'the error is no longer stored', code: facts.code ?? 'Error' };
  const shown = payloads.showError(error);
  return { name: shown.name, message: shown.message, code: facts.code ?? failureOf(shown, () => undefined).code };
}
