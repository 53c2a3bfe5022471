import { isPromise } from './async.js';
import { checkOptions, isPlainObject, keysOf } from './check-options.js';
import { InvalidInputError } from './errors/input-errors.js';
import { checkName, checkText } from './ids.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';
import type { IsNothing } from './workflow-types.js';

const EVENT = Symbol.for('nestjs-durable.event');

/**
 * A named kind of event, made by `defineEvent`. `P` is the type of the payload that workflows
 * receive. `Sent` is the type of the payload that is emitted, which differs from `P` when the
 * event's schema transforms the payload.
 */
export interface EventDefinition<P, Sent = P> {
  /** Name of the event. */
  readonly name: string;
  /** Schema that payloads must fit; undefined when payloads are not checked. */
  readonly schema?: StandardSchema | undefined;
  /** Returns the key of an event; undefined when the events have no keys. */
  readonly key?: ((payload: never) => string) | undefined;
  readonly [EVENT]: { readonly payload: (payload: Sent) => P } | true;
}

/**
 * Value that a workflow receives from an event: the payload, or `true` for an event without a
 * payload.
 */
export type EventValue<P> = IsNothing<P> extends true ? true : P;

/**
 * Type of the value that a workflow receives from an event: `EventOf<typeof orderPaid>`.
 *
 * @typeParam E type of the event
 */
export type EventOf<E extends EventDefinition<unknown, never>> = E extends EventDefinition<infer P, never> ? EventValue<P> : never;

/** Options of `defineEvent`. */
export interface EventOptions<P> {
  /**
   * Returns the key of an event from its payload. Waits name the key of the events that they want.
   * Events with the same key keep their order. (default: the events have no keys)
   */
  key?: (payload: P) => string;
}

/**
 * Defines an event: a contract between the code that emits the event and the workflows that the
 * event starts or resumes.
 *
 * @param name name of at most 240 characters; two events with the same name are the same event
 * @param options `schema`: a schema that payloads must fit. Emitting a payload that does not fit
 *   throws an InvalidInputError with `issues`. Workflows receive the value that the schema returns
 *   (default: no check). `key`: returns the key of an event (default: no keys)
 * @throws InvalidInputError when the name or an option is not valid
 * @example
 * const orderPaid = defineEvent<{ orderId: string }>('order.paid', { key: (e) => e.orderId });
 * // anywhere:
 * await client.emit(orderPaid, { orderId: '7' }, { id: stripeEvent.id });
 * // in a workflow:
 * const paid = await ctx.waitForEvent(orderPaid, { key: order.id, timeout: '3 days' });
 */
export function defineEvent<P = void>(name: string, options?: EventOptions<P> & { schema?: undefined }): EventDefinition<P>;
export function defineEvent<Sent, P>(
  name: string,
  options: EventOptions<P> & { schema: StandardSchema<Sent, P> },
): EventDefinition<P, Sent>;
export function defineEvent(
  name: string,
  options: EventOptions<never> & { schema?: StandardSchema | undefined } = {},
): EventDefinition<unknown> {
  const { schema, key } = checkOptions(options, 'options', ['schema', 'key']);
  if (schema !== undefined && !isStandardSchema(schema))
    throw new InvalidInputError('options.schema', 'must be a schema of a library that follows https://standardschema.dev');
  if (key !== undefined && typeof key !== 'function') throw new InvalidInputError('options.key', 'must be a function');
  return Object.freeze({ name: checkName(name, 'name of the event'), schema, key, [EVENT]: true as const });
}

/** True for an event that `defineEvent` made, also by another copy of this package. */
function isEvent(value: unknown): value is EventDefinition<unknown> {
  return typeof value === 'object' && value !== null && EVENT in value;
}

/**
 * Returns a value after checking that it is an event.
 *
 * @throws InvalidInputError when the value was not made by `defineEvent`
 */
export function checkEvent(value: unknown, argument: string): EventDefinition<unknown> {
  if (!isEvent(value)) throw new InvalidInputError(argument, 'must be an event made by defineEvent()');
  return value;
}

/**
 * Returns the key of an event with this payload; null when the events have no keys.
 *
 * @throws InvalidInputError when the key function throws, or returns no valid key
 */
export function keyOf({ name, key }: EventDefinition<unknown>, payload: unknown): string | null {
  if (key === undefined) return null;
  const argument = `key of event "${name}"`;
  let value: unknown;
  try {
    value = (key as (payload: unknown) => unknown)(payload);
  } catch (cause) {
    throw new InvalidInputError(argument, 'could not be determined: the key function threw', { cause });
  }
  if (isPromise(value)) throw new InvalidInputError(argument, 'must be returned synchronously, not as a promise');
  return checkText(value, argument);
}

/**
 * Arguments that follow the event in a call: the payload and the options. The payload may be
 * omitted when its type is `void` or `undefined`.
 */
export type EventArguments<P, Options> =
  IsNothing<P> extends true ? [payload?: undefined, options?: Options] : [payload: P, options?: Options];

/** Values of top-level fields of a payload. Other fields of the payload may have any value. */
export type EventCondition<P> = { readonly [K in keyof P]?: P[K] & (string | number | boolean | null) };

/**
 * Checks a condition on the top-level fields of payloads.
 *
 * @returns the condition as JSON text, with its fields sorted; null when there is no condition
 * @throws InvalidInputError when the condition is no object, is empty, or has a value that is no
 *   text, finite number, boolean or null
 */
export function checkCondition(where: unknown, argument: string): string | null {
  if (where === undefined) return null;
  if (!isPlainObject(where)) throw new InvalidInputError(argument, 'must be an object with fields of the payload');
  const fields = keysOf(where, argument).sort();
  if (fields.length === 0) throw new InvalidInputError(argument, 'must have at least one field');
  const entries = fields.map((field) => {
    const place = `${argument}.${field.slice(0, 100)}`;
    let value: unknown;
    try {
      value = where[field];
    } catch (cause) {
      throw new InvalidInputError(place, 'cannot be read', { cause });
    }
    const isSimple = value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value);
    if (!isSimple) throw new InvalidInputError(place, 'must be a text, a finite number, a boolean or null');
    if (typeof value === 'string' && !value.isWellFormed()) throw new InvalidInputError(place, 'must be well-formed Unicode');
    return [field, value] as const;
  });
  const text = JSON.stringify(Object.fromEntries(entries));
  if (text.length > MAX_CONDITION_LENGTH)
    throw new InvalidInputError(argument, `must have at most ${MAX_CONDITION_LENGTH} characters as JSON, not ${text.length}`);
  return text;
}

/** Longest condition as JSON text. An index contains the conditions of subscriptions. */
const MAX_CONDITION_LENGTH = 500;

/**
 * True when the payload has the fields of the condition.
 *
 * @param condition JSON text that `checkCondition` returned
 * @param payload the decoded payload
 */
export function fits(condition: string, payload: unknown): boolean {
  if (typeof payload !== 'object' || payload === null) return false;
  const wanted = JSON.parse(condition) as Record<string, unknown>;
  return Object.keys(wanted).every(
    (field) => Object.hasOwn(payload, field) && (payload as Readonly<Record<string, unknown>>)[field] === wanted[field],
  );
}

/** An event to emit. The payload is text in the stored form. */
export interface NewEvent {
  readonly name: string;
  readonly id: string;
  readonly key: string | null;
  readonly payload: string;
  /** The run that emits the event; null when no run does. */
  readonly runId: string | null;
  /** Trace context of the emitter, in the stored form; null when the emit is not traced. */
  readonly traceContext: string | null;
}

/** A workflow that an event starts. */
export interface EventSubscription {
  readonly event: string;
  readonly workflow: string;
  /** Id of the subscription; an empty text for the only one of this workflow and event. */
  readonly id: string;
  /** Condition that `checkCondition` returned; an empty text for all payloads. */
  readonly condition: string;
  /** Queue of the runs. */
  readonly queue: string;
  /** True when only the class can make the run: it computes a queue key, or collects batches. */
  readonly needsClass: boolean;
}
