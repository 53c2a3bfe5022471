import { InvalidInputError } from './errors/input-errors.js';
import { checkOptions } from './check-options.js';
import { checkName } from './ids.js';
import { isStandardSchema, type StandardSchema } from './standard-schema.js';
import type { IsNothing } from './workflow-types.js';

const SIGNAL = Symbol.for('nestjs-durable.signal');

/**
 * A named message to one run, and the types of what it carries: what a workflow gets, and what is sent, which is another where a schema turns it into that. Made by
 * `defineSignal`.
 */
export interface SignalDefinition<P, Sent = P> {
  readonly name: string;
  /** What payloads have to fit. */
  readonly schema?: StandardSchema | undefined;
  readonly [SIGNAL]: { readonly payload: (payload: Sent) => P } | true;
}

/** What a workflow gets of a signal: `true` for one that carries nothing. */
export type SignalValue<P> = IsNothing<P> extends true ? true : P;

/**
 * Defines a signal: a contract between whoever sends it and the workflow that waits for it.
 *
 * @param name at most 240 characters; signals of one name are the same signal
 * @param options `schema`: what is sent has to fit it, or sending is an InvalidInputError with its `issues`; the workflow gets what the schema makes of it
 * @throws InvalidInputError when the name or the schema is not usable
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

/** @throws InvalidInputError when it is none */
export function checkSignal(value: unknown, argument: string): SignalDefinition<unknown> {
  if (typeof value !== 'object' || value === null || !(SIGNAL in value)) {
    throw new InvalidInputError(argument, 'must be a signal made by defineSignal()');
  }
  return value as SignalDefinition<unknown>;
}

/** The arguments after the signal: one that carries nothing needs no payload. */
export type SignalArguments<P, Options> =
  IsNothing<P> extends true ? [payload?: undefined, options?: Options] : [payload: P, options?: Options];
