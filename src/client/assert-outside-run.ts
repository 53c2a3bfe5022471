import { ClientInRunError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/**
 * Throws when workflow code makes a client call outside a step, because each replay would repeat
 * the call.
 *
 * @throws ClientInRunError when the call comes from such code
 */
export function assertOutsideRun(method: string): void {
  const scope = executionScope.getStore();
  if (scope && !scope.step && !scope.pass.isClosed) throw new ClientInRunError(method, scope.pass.run.id);
}
