import { checkOptions } from '../core/check-options.js';
import { toMilliseconds, toTimestamp } from '../core/duration.js';
import { checkCondition, checkEvent, keyOf, type EventDefinition } from '../core/event.js';
import { checkText } from '../core/ids.js';
import { channelOf } from '../core/message-kinds.js';
import { Arguments } from '../core/serializer/arguments.js';
import { validate } from '../core/standard-schema.js';
import type { EventSelection } from '../core/step.js';
import { emitStepName, eventStepName } from '../core/step-key-format.js';
import type { Call } from './call.js';
import { NO_OPTIONS } from './call-step.js';
import type { EmitOptions, EventWaitOptions } from './context-options.js';
import type { PassHandle } from './pass-handle.js';
import { beginStep } from './step-runner.js';
import { beginWait, deadlineOf, type WaitSpec } from './wait.js';

/**
 * Waits for an event. The wait is stored, and then a process looks for events that have already
 * happened. Each event has a message of its own, whose address is the step key of the wait.
 */
export function waitForEvent(pass: PassHandle, definition: unknown, options: EventWaitOptions<unknown> = {}): Promise<unknown> {
  const { name } = checkEvent(definition, 'event');
  checkOptions(options, 'options', ['key', 'where', 'since', 'timeout', 'signal']);
  const key = options.key === undefined ? null : checkText(options.key, 'options.key');
  const where = checkCondition(options.where, 'options.where');
  const since = sinceOf(pass, options.since);
  const wakeAt = deadlineOf(pass, options.timeout, 'options.timeout');
  const begin = (call: Call): void => {
    const spec: WaitSpec = {
      kind: 'event',
      name,
      wakeAt,
      expired: () => ({ output: 'null', attempts: 1 }),
      channel: channelOf('event', call.stepKey),
      taken: ({ payload, event }) => ({ output: payload, attempts: 1, event }),
      event: () => ({ key, where, since: since() }),
    };
    beginWait(pass, call, spec);
  };
  return pass.call({ kind: 'event', name: eventStepName(name), begin, signal: options.signal });
}

/** Returns a function that computes the time from which events count. */
function sinceOf(pass: PassHandle, since: EventWaitOptions<unknown>['since']): () => EventSelection['since'] {
  if (since === undefined || since === 'run-start') return () => 'run-start';
  if (since === 'now') return () => 'now';
  if (since instanceof Date) {
    const at = toTimestamp(since, 'options.since');
    return () => at;
  }
  const ms = toMilliseconds(since, 'options.since');
  return () => Math.floor(pass.settings.now() - ms);
}

/**
 * Emits an event. The id of the event is derived from the step, so a repeated attempt emits once.
 */
export function emit(pass: PassHandle, event: unknown, payload: unknown, options: EmitOptions = {}): Promise<void> {
  const definition = checkEvent(event, 'event');
  checkOptions(options, 'options', ['id']);
  const id = options.id === undefined ? undefined : checkText(options.id, 'options.id');
  const { settings } = pass;
  const given = Arguments.of([payload], settings.payloads.maxBytes);
  const begin = (call: Call): void => {
    const spec = { ...NO_OPTIONS, retry: pass.definition.retry, timeoutMs: pass.definition.stepTimeoutMs };
    const body = async ([value]: readonly unknown[]): Promise<void> => {
      const { key, stored } = await encodeEvent(definition, value, (each) => settings.payloads.encode(each, 'payload', '', 'event'));
      await pass.effects.emit({
        name: definition.name,
        id: id ?? settings.starts.idFor(pass.run.id, `${call.stepKey}~${pass.run.generation}`),
        key,
        payload: stored,
        runId: pass.run.id,
        traceContext: null,
      });
    };
    beginStep(pass, call, { ...spec, body, given });
  };
  return pass.call({ kind: 'emit', name: emitStepName(definition.name), begin }) as Promise<void>;
}

/** Validates the payload of an event, and returns the key and the stored form of the payload. */
export async function encodeEvent(
  definition: EventDefinition<unknown>,
  given: unknown,
  encode: (payload: unknown) => string,
): Promise<{ readonly key: string | null; readonly stored: string }> {
  const { schema } = definition;
  const payload = schema ? await validate(schema, given, 'payload') : given;
  const value = payload === undefined ? true : payload;
  return { key: keyOf(definition, payload), stored: encode(value) };
}
