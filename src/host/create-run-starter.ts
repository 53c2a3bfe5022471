import { ClientRunStarter } from '../client/run-starter.js';
import type { Deployment } from './deployment.js';
import type { HostDependencies } from './host-dependencies.js';

/** Creates the object that prepares the runs that workflows start. */
export function createRunStarter(
  runtime: Pick<HostDependencies, 'payloads' | 'settings' | 'clock'> & {
    readonly name: string | undefined;
    readonly deployment: Deployment;
    readonly workflowClasses: ReadonlyMap<string, Function>;
  },
): ClientRunStarter {
  return new ClientRunStarter(runtime.payloads, {
    get deploymentId() {
      return runtime.deployment.id;
    },
    module: runtime.name,
    runTimeoutMs: runtime.settings.runTimeoutMs,
    now: () => runtime.clock.now(),
    workflowClass: (workflow) => runtime.workflowClasses.get(workflow),
  });
}
