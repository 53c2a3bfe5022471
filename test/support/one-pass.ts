import type { WorkflowModuleOptions } from '../../src/index.js';

/**
 * Worker settings as in production: many tests count how often code is executed, and let runs wait
 * for other deployments. The tests of the replay check turn the check on.
 */
export function onePass(worker: WorkflowModuleOptions['worker'] = {}): WorkflowModuleOptions['worker'] {
  return worker === false || (worker as unknown) === true ? worker : { verifyReplay: 'never', onMismatch: 'block', ...worker };
}
