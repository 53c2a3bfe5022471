import { InvalidInputError } from '../../core/errors/index.js';

/**
 * Checks an optional boolean option.
 *
 * @throws InvalidInputError when the value is neither a boolean nor absent
 */
export function checkBoolean(value: unknown, argument: string): void {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be a boolean');
}
