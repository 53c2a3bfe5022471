import { ClientInRunError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/**
 * Rejects a client call from workflow code outside a step: every replay would repeat the call.
 *
 * @throws ClientInRunError
 */
export function assertOutsideRun(method: string): void {
  const scope = executionScope.getStore();
  if (scope && !scope.step && !scope.pass.isClosed) throw new ClientInRunError(method, scope.pass.run.id);
}
