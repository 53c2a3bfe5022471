import { ClientInRunError } from '../core/errors/index.js';
import { executionScope } from '../engine/current.js';

/** What run() does outside a step it does in every pass. */
export function assertOutsideRun(method: string): void {
  const scope = executionScope.getStore();
  if (scope && !scope.step && !scope.pass.isClosed) throw new ClientInRunError(method, scope.pass.run.id);
}
