import { checkOptions } from '../../core/check-options.js';
import { InvalidInputError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import { DEFAULT_STREAM } from '../../core/stream.js';

/** Options of `handle.stream`. */
export interface StreamOptions {
  /**
   * Place of the first chunk, from 0. A negative number counts from the end: -10 begins with the
   * last ten. (default: 0)
   */
  from?: number;
}

/** Checks the name of a stream. @throws InvalidInputError */
export function checkStreamName(name: unknown): string {
  return name === undefined ? DEFAULT_STREAM : checkText(name, 'name');
}

/** Checks options of a reader. @throws InvalidInputError */
export function checkStreamOptions(options: StreamOptions & { form?: unknown }): { from: number; form: 'values' | 'events' } {
  const { from = 0, form = 'values' } = checkOptions(options, 'options', ['from', 'form']);
  if (!Number.isSafeInteger(from)) throw new InvalidInputError('options.from', 'must be a whole number');
  if (form !== 'values' && form !== 'events') throw new InvalidInputError('options.form', `must be 'values' or 'events'`);
  return { from, form };
}
