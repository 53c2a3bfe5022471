import type { WorkflowModuleOptions } from '../../src/index.js';

/**
 * The worker's settings as in production: many tests count how often code is executed, and have runs wait for other deployments. The tests of the replay check
 * ask for it.
 */
export function onePass(worker: WorkflowModuleOptions['worker'] = {}): WorkflowModuleOptions['worker'] {
  return worker === false || (worker as unknown) === true ? worker : { verifyReplay: 'never', onMismatch: 'block', ...worker };
}
