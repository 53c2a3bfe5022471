import type { KnownDirectConnection, KnownWorker } from '../client/queries/health.js';
import { defineMetric } from '../core/metrics/durable-metrics.js';
import type { GaugeReading, MetricDefinition } from '../core/metrics/instruments.js';

const UP = defineMetric('worker.up', '1', '1 while the worker of this process claims runs, else 0');
const RUNS = defineMetric('worker.runs', '{run}', 'Runs that this process holds');
const SLOTS = defineMetric('worker.slots', '{slot}', 'Runs that may execute step bodies at the same time in this process');
const FREE = defineMetric('worker.free_slots', '{slot}', 'Slots in which no step body is executed');
const UNWRITABLE = defineMetric('worker.unwritable_runs', '{run}', 'Runs that the database refuses to change, counted up to 100');
const CONNECTED = defineMetric('listen.connected', '1', '1 while the direct connection receives notifications, else 0');
const TRANSITIONS = defineMetric('journal.transitions', '{transition}', 'Transitions that wait to be written');
const BYTES = defineMetric('journal.size', 'By', 'Payloads of transitions that wait or are being written');
const UNSENT = defineMetric('qstash.unsent_messages', '{message}', 'Wake-ups that QStash has not accepted yet');

/** Gauges that `processGauges` returns. */
export const PROCESS_GAUGES: readonly MetricDefinition[] = [UP, RUNS, SLOTS, FREE, UNWRITABLE, CONNECTED, TRANSITIONS, BYTES, UNSENT];

/** Parts of a module that have gauges. */
interface Gauged {
  readonly workers: { readonly known: KnownWorker };
  readonly direct: KnownDirectConnection | undefined;
  readonly journal: { readonly load: { readonly transitions: number; readonly bytes: number } };
  readonly qstash: { readonly publisher: { readonly unsent: number } } | undefined;
}

/** Reads the gauges of this process. Sends no query. */
export function processGauges({ workers, direct, journal, qstash }: Gauged): GaugeReading[] {
  const { health } = workers.known;
  const { transitions, bytes } = journal.load;
  const one = (definition: MetricDefinition, value: number): GaugeReading => ({ definition, values: [[[], value]] });
  return [
    one(UP, health.state === 'running' ? 1 : 0),
    one(RUNS, health.runs),
    one(SLOTS, health.slots),
    one(FREE, health.freeSlots),
    one(UNWRITABLE, health.unwritable.length),
    ...(direct ? [one(CONNECTED, direct.isConnected ? 1 : 0)] : []),
    one(TRANSITIONS, transitions),
    one(BYTES, bytes),
    ...(qstash ? [one(UNSENT, qstash.publisher.unsent)] : []),
  ];
}
