import type { DataSource } from 'typeorm';

import type { ClientDependencies } from '../client/dependencies.js';
import type { MetricsReader } from '../client/queries/metrics-reader.js';
import { outside } from '../core/outside.js';
import { forCallers } from '../store/caller-database.js';
import type { ReadReplica } from '../store/read-replica.js';
import type { QStashTransport } from '../transports/qstash/transport.js';
import type { Deployment } from './deployment.js';
import type { HostDependencies } from './host-dependencies.js';
import type { WorkerHosts } from './worker-hosts.js';

/** Parts of the runtime that only its client uses. */
interface ClientParts extends HostDependencies {
  readonly name: string | undefined;
  readonly orm: DataSource;
  readonly deployment: Deployment;
  readonly replica: ReadReplica | undefined;
  readonly metricsReader: MetricsReader;
  readonly qstash: QStashTransport | undefined;
  readonly workers: WorkerHosts;
  readonly workflowClasses: ReadonlyMap<string, Function>;
}

/** Connects the client of a module with the other parts of its runtime. */
export function createClientDependencies(runtime: ClientParts): ClientDependencies {
  const { settings, orm, workers, admissions } = runtime;
  return {
    database: forCallers(runtime.database),
    transaction: (work) => outside(() => orm.transaction('READ COMMITTED', work)),
    replica: runtime.replica,
    journal: runtime.journal,
    hub: runtime.hub,
    streams: runtime.streams,
    payloads: runtime.payloads,
    metrics: runtime.metrics,
    metricsReader: runtime.metricsReader,
    get deploymentId() {
      return runtime.deployment.id;
    },
    module: runtime.name,
    runTimeoutMs: settings.runTimeoutMs,
    hookSchemas: runtime.hookSchemas,
    currentTransaction: settings.currentTransaction,
    reserve: (key) => workers.polling?.reserve(key),
    notifier: runtime.notifier,
    admit: (queue) => admissions.request(queue),
    due: (runs) => runtime.due(runs),
    messaged: (runIds) => runtime.messaged(runIds),
    endedElsewhere: (runIds) => runtime.endedElsewhere(runIds),
    placeFreed: (queue, key) => runtime.placeFreed(queue, key),
    deadLetters: runtime.qstash?.api,
    direct: () => runtime.direct,
    worker: () => workers.known,
    now: () => runtime.clock.now(),
    workflowClass: (workflow) => runtime.workflowClasses.get(workflow),
    scheduled: (at) => runtime.scheduled(at),
    retention: runtime.retention,
    emitted: () => runtime.eventsEmitted('this process'),
    log: (message, fields) => runtime.logger.line('log', message, fields),
  };
}
