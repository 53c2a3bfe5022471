import { checkOptions } from './check-options.js';
import { InvalidInputError } from './errors/index.js';

/** Isolation level of the transaction of a transactional step. */
export type StepIsolation = 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE';

/** Options of the transaction of a transactional step. */
export interface TransactionalOptions {
  /**
   * Isolation level. With `transactional: true`, the level is that of the DataSource, or else that
   * of the database.
   */
  isolation: StepIsolation;
}

/** Isolation level of a transactional step; `default` when the step names none. */
export type WantedIsolation = StepIsolation | 'default';

const LEVELS: readonly string[] = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'];

/**
 * Checks the option `transactional` of a step.
 *
 * @param argument name of the option, for errors
 * @returns undefined when the step is not transactional
 * @throws InvalidInputError
 */
export function toIsolation(option: true | TransactionalOptions | undefined, argument: string): WantedIsolation | undefined {
  if (option === undefined) return undefined;
  if (option === true) return 'default';
  if (typeof option !== 'object' || option === null) throw new InvalidInputError(argument, 'must be true or { isolation }');
  const { isolation } = checkOptions(option, argument, ['isolation']);
  if (!LEVELS.includes(isolation)) throw new InvalidInputError(`${argument}.isolation`, `must be one of ${LEVELS.join(', ')}`);
  return isolation;
}
