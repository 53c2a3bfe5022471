/** Kinds of queues: of workflows, and on the stable line of steps. */
export type QueueKind = 'workflow' | 'step';

const NAME = /^__(?:[a-z][a-z0-9]*_)?wkf_(workflow|step)_./;

/** Returns the kind of a queue; undefined for a name that is not one of the kit's. */
export function kindOf(queue: unknown): QueueKind | undefined {
  return typeof queue === 'string' ? (NAME.exec(queue)?.[1] as QueueKind | undefined) : undefined;
}

/** Path of the kit's route that takes the messages of a queue. */
export function pathOf(queue: string): string {
  return `/.well-known/workflow/v1/${kindOf(queue) === 'step' ? 'step' : 'flow'}`;
}

/** Returns the run that a message is about. */
export function runOf(message: unknown): string | undefined {
  if (typeof message !== 'object' || message === null) return undefined;
  const { runId, workflowRunId } = message as { runId?: unknown; workflowRunId?: unknown };
  if (typeof runId === 'string') return runId;
  return typeof workflowRunId === 'string' ? workflowRunId : undefined;
}
