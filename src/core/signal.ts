import { InvalidInputError } from './errors/input-errors.js';
import { checkText } from './ids.js';

const SIGNAL = Symbol.for('nestjs-durable.signal');

/** A named message to one run, and the type of what it carries. Made by `defineSignal`. */
export interface SignalDefinition<P> {
  readonly name: string;
  readonly [SIGNAL]: { readonly payload: (payload: P) => P } | true;
}

/** What a workflow gets of a signal: `true` for one that carries nothing. */
export type SignalValue<P> = [P] extends [void] ? true : P;

/**
 * Defines a signal: a contract between whoever sends it and the workflow that waits for it.
 *
 * @param name at most 255 characters; signals of one name are the same signal
 * @throws InvalidInputError when the name is not usable
 * @example
 * export const approved = defineSignal<Approval>('approved');
 * // in a workflow:  const approval = await ctx.waitForSignal(approved, { timeout: '2 days' });
 * // anywhere else:  await client.signal(runId, approved, { by: 'ann' });
 */
export function defineSignal<P = void>(name: string): SignalDefinition<P> {
  return Object.freeze({ name: checkText(name, 'name of the signal'), [SIGNAL]: true as const });
}

/** @throws InvalidInputError when it is none */
export function checkSignal(value: unknown, argument: string): SignalDefinition<unknown> {
  if (typeof value !== 'object' || value === null || !(SIGNAL in value)) {
    throw new InvalidInputError(argument, 'must be a signal made by defineSignal()');
  }
  return value as SignalDefinition<unknown>;
}

/** The arguments after the signal: one that carries nothing needs no payload. */
export type SignalArguments<P, Options> = [P] extends [void] ? [payload?: undefined, options?: Options] : [payload: P, options?: Options];
