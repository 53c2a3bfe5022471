import { ReadReplica } from '../store/read-replica.js';
import { ReplicaRefusedError } from '../store/replica-check.js';
import type { HostDependencies } from './host-dependencies.js';

type ReplicaDependencies = Pick<HostDependencies, 'settings' | 'database' | 'logger' | 'warn'>;

/** Creates the read replica of a module; undefined when the module has none. */
export function createReadReplica(runtime: ReplicaDependencies): ReadReplica | undefined {
  const { settings, database, logger } = runtime;
  if (settings.readReplica === undefined) return undefined;
  return new ReadReplica(database, settings.readReplica.url, {
    failed: (error) =>
      error instanceof ReplicaRefusedError
        ? runtime.warn('replica-refused', 'replica: not used, so queries go to the primary', error)
        : runtime.warn('replica-unavailable', 'replica: unavailable; queries go to the primary until it answers', error),
    recovered: () => logger.log('replica: answers again'),
  });
}
