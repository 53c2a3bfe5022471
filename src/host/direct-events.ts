import type { DirectConnectionEvents } from '../store/direct-connection-events.js';
import type { HostDependencies } from './host-dependencies.js';
import type { PollingHost } from './polling-host.js';
import type { ModuleSettings } from './settings.js';

/**
 * Creates the handlers for events of the direct connection. They notify the worker and the callers
 * that wait for results, and write to the log. Also announces the run events that this process
 * records.
 *
 * @param host returns the worker of this process; undefined before it is created
 */
export function directEvents(runtime: HostDependencies, host: () => PollingHost | undefined): DirectConnectionEvents {
  const { listen } = runtime.settings;
  const address = typeof listen === 'object' ? 'its url' : 'it';
  let isMissing = false;
  runtime.database.listened.onRecorded = () => runtime.notify({ events: true });
  return {
    noticed: (notice) => {
      runtime.metrics.noticesReceived.add();
      if (notice.ended) runtime.hub.noticed(notice.ended);
      if (notice.events) runtime.database.listened.onAvailable();
      if (notice.emitted) runtime.eventsEmitted('elsewhere');
      runtime.streams.noticed([...(notice.ended ?? []), ...(notice.streams ?? [])]);
      host()?.noticed(notice);
    },
    lost: async () => {
      runtime.metrics.directLosses.add();
      await host()?.directLost();
    },
    failed: (error) => runtime.warn('notice-failed', 'listen: could not handle a notification', error),
    connected: () => {
      if (isMissing) runtime.logger.log('listen: the direct connection is open');
      isMissing = false;
      runtime.hub.refresh();
      runtime.streams.refresh();
      host()?.directConnected();
    },
    unreachable: (error) => {
      isMissing = true;
      runtime.warn(
        'direct-connection-down',
        `listen: could not open the direct connection${typeof listen === 'object' ? ' to the url of "listen"' : ''}. ` +
          'Until the connection opens, this process learns of due runs by polling, and other processes detect its death only after sessionTtl',
        error,
      );
    },
    receivesNothing: () =>
      runtime.warn(
        'no-notifications',
        `listen: no notifications arrive on the direct connection: ${address} leads through a pooler, or to another database. ` +
          `Name the server's own address: listen: { url }. Until the address is right, this process polls`,
      ),
  };
}

/** Returns the address of the direct connection when it is not that of the pool. */
export const directUrl = (listen: ModuleSettings['listen']): string | undefined => (typeof listen === 'object' ? listen.url : undefined);
