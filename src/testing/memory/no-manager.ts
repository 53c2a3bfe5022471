import { WorkflowTestError } from '../errors.js';

/**
 * EntityManager of transactional steps in memory, where there is no database. The body of such a
 * step is executed without a transaction, and any use of the manager throws a WorkflowTestError.
 */
export const NO_MANAGER: object = new Proxy(
  {},
  {
    get: (_target, property) => {
      throw new WorkflowTestError(
        `currentManager() has no database in runInMemory, so "${String(property)}" cannot be used: replace the step's body with "steps", or use WorkflowTest`,
      );
    },
  },
);
