import type { EntityManager } from 'typeorm';

import { NotInTransactionError } from '../../core/errors/index.js';
import { executionScope } from '../../engine/current.js';

/**
 * Returns the EntityManager of the transaction in which the body of a transactional step is
 * executed. Writes through this manager and the record of the step's result are one commit.
 *
 * @throws NotInTransactionError outside the body of a transactional step
 * @example
 * @Step({ transactional: true })
 * async ship(order: Order): Promise<void> {
 *   await currentManager().getRepository(Shipment).insert({ orderId: order.id });
 * }
 */
export function currentManager(): EntityManager {
  const step = executionScope.getStore()?.step as { readonly manager?: EntityManager | undefined } | undefined;
  if (step?.manager) return step.manager;
  throw new NotInTransactionError(
    'currentManager() works only while a run executes the body of a step with transactional: true, and until that body has ended',
  );
}
