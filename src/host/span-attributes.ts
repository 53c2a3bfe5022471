import type { Attributes } from '@opentelemetry/api';

/*
 * Attributes of spans. Names that begin with `messaging`, `faas`, `db` and `error` follow version
 * 1.45 of OpenTelemetry's semantic conventions, whose names for messaging are not stable yet.
 * docs/tracing.md lists all attributes. No attribute contains a payload or an error's message.
 *
 * The names are literals in each object, because objects with computed names are slow to make.
 */

/** Value of `messaging.system.name` for runs and messages in PostgreSQL. */
const THIS_SYSTEM = 'nestjs_durable';

/** Longest value of `error.type`, in characters. */
const MAX_ERROR_TYPE = 100;

/** Attributes of a call that creates a run. */
export function startAttributes(operation: string, runId: string, workflow: string | undefined): Attributes {
  return {
    'messaging.system.name': THIS_SYSTEM,
    'messaging.operation.name': operation,
    'messaging.operation.type': 'send',
    'messaging.destination.name': workflow,
    'messaging.message.id': runId,
    'nestjs_durable.run.id': runId,
  };
}

/** Attributes of a call that sends a message to a run. */
export function messageAttributes(operation: string, runId: string | undefined, signal: string | undefined): Attributes {
  return {
    'messaging.system.name': THIS_SYSTEM,
    'messaging.operation.name': operation,
    'messaging.operation.type': 'send',
    'messaging.destination.name': signal,
    'messaging.message.conversation_id': runId,
    'nestjs_durable.run.id': runId,
  };
}

export function passAttributes(id: string, epoch: number, workflow: string, version: number, queue: string): Attributes {
  return {
    'messaging.system.name': THIS_SYSTEM,
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': workflow,
    'messaging.message.id': id,
    'faas.trigger': 'pubsub',
    'faas.invocation.id': `${id}:${epoch}`,
    'nestjs_durable.run.id': id,
    'nestjs_durable.queue': queue,
    'nestjs_durable.workflow.version': version,
  };
}

export function stepAttributes(runId: string, stepKey: string, attempt: number): Attributes {
  return { 'nestjs_durable.run.id': runId, 'nestjs_durable.step.key': stepKey, 'nestjs_durable.step.attempt': attempt };
}

/** Attributes of the link for a wait that has ended. */
export function waitAttributes(kind: string, stepKey: string): Attributes {
  return { 'nestjs_durable.wait.kind': kind, 'nestjs_durable.step.key': stepKey };
}

export function claimAttributes(count: number): Attributes {
  return {
    'messaging.system.name': THIS_SYSTEM,
    'messaging.operation.name': 'claim',
    'messaging.operation.type': 'receive',
    'messaging.batch.message_count': count,
  };
}

export function flushAttributes(size: number): Attributes {
  return { 'db.system.name': 'postgresql', 'db.operation.batch.size': size };
}

export function publishAttributes(system: string, count: number): Attributes {
  return {
    'messaging.system.name': system,
    'messaging.operation.name': 'publish',
    'messaging.operation.type': 'send',
    'messaging.batch.message_count': count,
  };
}

export function deliveryAttributes(system: string, runId: string, queue: string): Attributes {
  return {
    'messaging.system.name': system,
    'messaging.operation.name': 'deliver',
    'messaging.operation.type': 'process',
    'messaging.destination.name': queue,
    'messaging.message.id': runId,
    'faas.trigger': 'pubsub',
    'nestjs_durable.run.id': runId,
    'nestjs_durable.queue': queue,
  };
}

/**
 * Returns the value of `error.type`: the error's code, or else its name. The message is left out,
 * because a message may quote personal data. Reading a hostile error may throw.
 */
export function errorTypeOf(error: unknown): string {
  try {
    const { code, name } = error as { code?: unknown; name?: unknown };
    for (const type of [code, name]) if (typeof type === 'string' && /^[\w.:-]+$/.test(type)) return type.slice(0, MAX_ERROR_TYPE);
  } catch {
    // The general value below describes the error.
  }
  return '_OTHER';
}
