import { STEP_BYTES } from '../../core/step.js';

/**
 * SQL expression of the bytes that a step adds to `history_bytes` of its run.
 *
 * @param prefix alias of the steps' table with a dot, or an empty text
 */
export function stepBytesSql(prefix: '' | 's.' = ''): string {
  const bytes = (column: string): string => `coalesce(octet_length(${prefix}${column}::text), 0)`;
  return `${STEP_BYTES} + ${bytes('output')} + ${bytes('error')} + ${bytes('compensate_args')}`;
}
