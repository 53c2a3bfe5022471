import type { CanActivate, Type } from '@nestjs/common';

import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';

/** Checked access to an endpoint. */
export interface EndpointSettings {
  readonly guards: readonly (Type<CanActivate> | CanActivate)[];
  readonly decorators: readonly ClassDecorator[];
}

/**
 * Checks the access to an endpoint.
 *
 * @returns undefined when the endpoint is closed
 * @throws InvalidInputError naming the option that is invalid
 */
export function checkEndpoint(value: unknown, argument: string): EndpointSettings | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return { guards: [], decorators: [] };
  const { guards, decorators } = checkOptions(value as { guards: unknown; decorators: unknown }, argument, ['guards', 'decorators']);
  return {
    guards: checkList(guards, isGuard, `${argument}.guards`, 'guards: classes or objects with canActivate'),
    decorators: checkList(decorators, isFunction, `${argument}.decorators`, 'decorators of classes'),
  };
}

function checkList<T>(value: unknown, isMember: (member: unknown) => member is T, argument: string, what: string): readonly T[] {
  if (value === undefined) return [];
  try {
    const list: unknown[] | undefined = Array.isArray(value) ? [...(value as unknown[])] : undefined;
    if (list?.every(isMember)) return list;
  } catch (cause) {
    throw new InvalidInputError(argument, 'cannot be read', { cause });
  }
  throw new InvalidInputError(argument, `must be an array of ${what}`);
}

function isFunction(value: unknown): value is ClassDecorator {
  return typeof value === 'function';
}

function isGuard(value: unknown): value is Type<CanActivate> | CanActivate {
  const guard = typeof value === 'function' ? (value.prototype as unknown) : value;
  return typeof guard === 'object' && guard !== null && typeof (guard as Partial<CanActivate>).canActivate === 'function';
}
