import { InvalidInputError } from './errors/input-errors.js';
import { checkOptions } from './check-options.js';
import { checkName } from './ids.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';
import type { IsNothing } from './workflow-types.js';

const SIGNAL = Symbol.for('nestjs-durable.signal');

/**
 * A named kind of message to a run, made by `defineSignal`. `P` is the type of the payload that the
 * workflow receives. `Sent` is the type of the payload that is sent, which differs from `P` when
 * the signal's schema transforms the payload.
 */
export interface SignalDefinition<P, Sent = P> {
  /** Name of the signal. */
  readonly name: string;
  /** Schema that payloads must fit; undefined when payloads are not checked. */
  readonly schema?: StandardSchema | undefined;
  readonly [SIGNAL]: { readonly payload: (payload: Sent) => P } | true;
}

/**
 * Value that a workflow receives from a signal: the payload, or `true` for a signal without a
 * payload.
 */
export type SignalValue<P> = IsNothing<P> extends true ? true : P;

/**
 * Defines a signal: a contract between the sender and the workflow that waits for the signal.
 *
 * @param name name of at most 240 characters; two signals with the same name are the same signal
 * @param options `schema`: a schema that payloads must fit. Sending a payload that does not fit
 *   throws an InvalidInputError with `issues`. The workflow receives the value that the schema
 *   returns (default: no check)
 * @throws InvalidInputError when the name or the schema is not valid
 * @example
 * export const approved = defineSignal<Approval>('approved');
 * // in a workflow:  const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
 * // anywhere else:  await client.signal(runId, approved, { by: 'ann' });
 */
export function defineSignal<P = void>(name: string, options?: { schema?: undefined }): SignalDefinition<P>;
export function defineSignal<Sent, P>(name: string, options: { schema: StandardSchema<Sent, P> }): SignalDefinition<P, Sent>;
export function defineSignal(name: string, options: { schema?: StandardSchema | undefined } = {}): SignalDefinition<unknown> {
  const { schema } = checkOptions(options, 'options', ['schema']);
  if (schema !== undefined && !isStandardSchema(schema))
    throw new InvalidInputError('options.schema', 'must be a schema of a library that follows https://standardschema.dev');
  return Object.freeze({ name: checkName(name, 'name of the signal'), schema, [SIGNAL]: true as const });
}

/**
 * Returns a value after checking that it is a signal.
 *
 * @throws InvalidInputError when the value was not made by `defineSignal`
 */
export function checkSignal(value: unknown, argument: string): SignalDefinition<unknown> {
  if (typeof value !== 'object' || value === null || !(SIGNAL in value)) {
    throw new InvalidInputError(argument, 'must be a signal made by defineSignal()');
  }
  return value as SignalDefinition<unknown>;
}

/**
 * Arguments that follow the signal in a call: the payload and the options. The payload may be
 * omitted when its type is `void` or `undefined`.
 */
export type SignalArguments<P, Options> =
  IsNothing<P> extends true ? [payload?: undefined, options?: Options] : [payload: P, options?: Options];
