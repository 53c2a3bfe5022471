import { StreamHub } from '../client/streams/stream-hub.js';
import { messagesOf } from '../client/streams/stream-observable.js';
import { throughReplica, type ReadReplica } from '../store/read-replica.js';
import type { HostDependencies } from './host-dependencies.js';

/** Creates the object through which all readers of this process read streams. */
export function createStreamHub(runtime: HostDependencies, replica: ReadReplica | undefined): StreamHub {
  return new StreamHub(runtime.database, {
    replica: replica && throughReplica(runtime.database, replica),
    messagesOf,
    receivesNotices: () => runtime.direct?.isConnected ?? false,
    failed: (error) => runtime.warn('streams-not-read', 'streams: could not read chunks', error),
  });
}
