import { checkNamedOptions, checkOptions } from '../../core/check-options.js';
import { toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { PayloadCodec } from '../../core/payloads.js';
import { checkText } from '../../core/ids.js';
import { LISTENER_TIMEOUT_MS, RUN_EVENTS } from '../../core/run-events.js';
import { checkSchemaName, DEFAULT_SCHEMA } from '../../store/schema.js';
import { checkByName, checkQueue, checkStepLimit } from '../../core/queue-limits.js';
import { checkRetention } from '../../core/retention.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy } from '../../core/retry-policy.js';
import { checkBoolean } from './check-boolean.js';
import { checkConnection, checkListen, checkReadReplica } from './connection-options.js';
import { DEFAULT_PATH } from './http-options.js';
import { toQStashSettings } from './qstash-options.js';
import { toWorkerSettings, workerStart } from './worker-options.js';
import type { ModuleSettings, StepEnhancer, WorkflowModuleOptions } from './module-options.js';

export type * from './module-options.js';

const KNOWN_OPTIONS = [
  'connection',
  'schema',
  'autoMigrate',
  'deploymentId',
  'environment',
  'worker',
  'transport',
  'qstash',
  'pooler',
  'listen',
  'readReplica',
  'enhancers',
  'currentTransaction',
  'runInTransaction',
  'retention',
  'queues',
  'limits',
  'streams',
  'events',
  'defaults',
  'payloads',
  'logFailures',
];
const MAX_PAYLOAD_BYTES = 256 << 20;
/** Default of `events.retention`: seven days. */
const EVENT_RETENTION_MS = 604_800_000;

/**
 * HTTP settings that the check of the module's options uses: the prefix of the endpoints' paths,
 * and the option that opens the QStash endpoint.
 */
interface EndpointContext {
  readonly path: string;
  readonly qstash: boolean;
}
const DEFAULT_ENDPOINTS: EndpointContext = { path: DEFAULT_PATH, qstash: true };

/**
 * Checks the module's options and applies the defaults.
 *
 * @param http prefix of the endpoints' paths, and the option that opens the QStash endpoint
 * @throws InvalidInputError naming the option that is invalid
 */
export function toSettings(
  options: WorkflowModuleOptions,
  environment: NodeJS.ProcessEnv,
  http: EndpointContext = DEFAULT_ENDPOINTS,
): ModuleSettings {
  const given = checkNamedOptions(options, 'options', KNOWN_OPTIONS);
  const { schema, autoMigrate, deploymentId, worker, pooler, currentTransaction } = given;
  const defaults = checkOptions(given.defaults === undefined ? {} : given.defaults, 'defaults', [
    'retry',
    'stepTimeout',
    'runTimeout',
    'maxPayloadBytes',
  ]);
  checkBoolean(autoMigrate, 'autoMigrate');
  checkBoolean(given.logFailures, 'logFailures');
  if (currentTransaction !== undefined && typeof currentTransaction !== 'function') {
    throw new InvalidInputError('currentTransaction', 'must be a function');
  }
  checkRunInTransaction(given);
  if (pooler !== undefined && pooler !== 'transaction') throw new InvalidInputError('pooler', `must be 'transaction', or absent`);
  const maxPayloadBytes = defaults.maxPayloadBytes === undefined ? 4 << 20 : defaults.maxPayloadBytes;
  if (!Number.isInteger(maxPayloadBytes) || maxPayloadBytes < 1_024 || maxPayloadBytes > MAX_PAYLOAD_BYTES) {
    throw new InvalidInputError('defaults.maxPayloadBytes', `must be a whole number from 1,024 to ${MAX_PAYLOAD_BYTES}`);
  }
  const start = workerStart(worker, environment);
  const transport = checkTransport(given.transport, given.qstash);
  const isReceiver = start !== 'never' && http.qstash;
  const id = deploymentId ?? (environment['DEPLOYMENT_ID'] || undefined);
  const environmentName = given.environment ?? (environment['DURABLE_ENVIRONMENT'] || undefined);
  const qstash = transport === 'poll' ? undefined : toQStashSettings(given.qstash, environment, http.path, isReceiver);
  const longestStepMs = transport === 'qstash' ? qstash?.longestStepMs : undefined;
  const stepTimeoutMs = defaults.stepTimeout === undefined ? 300_000 : toMilliseconds(defaults.stepTimeout, 'defaults.stepTimeout');
  return {
    connection: checkConnection(given.connection),
    schema: schema === undefined ? DEFAULT_SCHEMA : checkSchemaName(schema, 'schema'),
    autoMigrate: autoMigrate ?? true,
    deploymentId: id === undefined ? undefined : checkText(id, 'deploymentId'),
    environment: environmentName === undefined ? undefined : checkText(environmentName, 'environment'),
    workerStart: start,
    worker: toWorkerSettings(worker === false || worker === undefined ? {} : worker, transport),
    transport,
    qstash,
    pooler,
    readReplica: checkReadReplica(given.readReplica),
    listen: transport === 'qstash' && given.listen === undefined ? false : checkListen(given.listen, pooler),
    enhancers: checkEnhancers(given.enhancers),
    currentTransaction,
    runInTransaction: given.runInTransaction,
    retry: toRetryPolicy(defaults.retry, DEFAULT_RETRY_POLICY, 'defaults.retry'),
    stepTimeoutMs: Math.min(stepTimeoutMs, longestStepMs ?? stepTimeoutMs),
    listenerTimeoutMs: Math.min(defaults.stepTimeout === undefined ? LISTENER_TIMEOUT_MS : stepTimeoutMs, longestStepMs ?? stepTimeoutMs),
    longestStepMs,
    runTimeoutMs: defaults.runTimeout === undefined ? null : toMilliseconds(defaults.runTimeout, 'defaults.runTimeout'),
    maxPayloadBytes,
    codec: checkCodec(given.payloads),
    retention: given.retention === undefined ? {} : checkRetention(given.retention, 'retention'),
    ...checkEvents(given.events),
    streamRetention: checkStreams(given.streams),
    queues: checkByName(given.queues, 'queues', checkQueue),
    limits: checkByName(given.limits, 'limits', checkStepLimit),
    logFailures: given.logFailures ?? true,
  };
}

function checkTransport(transport: unknown, qstash: unknown): ModuleSettings['transport'] {
  if (transport !== undefined && transport !== 'poll' && transport !== 'qstash' && transport !== 'both')
    throw new InvalidInputError('transport', "must be 'poll', 'qstash' or 'both'");
  if (qstash !== undefined && (transport === undefined || transport === 'poll'))
    throw new InvalidInputError('qstash', "requires transport 'qstash' or 'both'");
  return transport ?? 'poll';
}

/**
 * Checks the codec and returns it without a copy, because a copy would lack the methods that a
 * codec inherits from its class.
 */
function checkCodec(payloads: WorkflowModuleOptions['payloads']): PayloadCodec | undefined {
  if (payloads === undefined) return undefined;
  const { codec } = checkOptions(payloads, 'payloads', ['codec']);
  if (codec === undefined) return undefined;
  try {
    if (typeof codec === 'object' && typeof codec.encode === 'function' && typeof codec.decode === 'function') return codec;
  } catch (cause) {
    throw new InvalidInputError('payloads.codec', 'cannot be read', { cause });
  }
  throw new InvalidInputError('payloads.codec', 'must be an object with the methods encode and decode');
}

function checkEvents(events: WorkflowModuleOptions['events']): Pick<ModuleSettings, 'eventRetentionMs' | 'emittedRunEvents'> {
  const { retention, runEvents } = checkOptions(events === undefined ? {} : events, 'events', ['retention', 'runEvents']);
  const known: readonly unknown[] = RUN_EVENTS;
  if (runEvents !== undefined && !(Array.isArray(runEvents) && runEvents.every((name) => known.includes(name))))
    throw new InvalidInputError('events.runEvents', `must be an array of ${RUN_EVENTS.map((name) => `'${name}'`).join(', ')}`);
  return {
    eventRetentionMs: retention === undefined ? EVENT_RETENTION_MS : toMilliseconds(retention, 'events.retention'),
    emittedRunEvents: [...new Set(runEvents ?? [])],
  };
}

function checkStreams(streams: WorkflowModuleOptions['streams']): ModuleSettings['streamRetention'] {
  if (streams === undefined) return undefined;
  const { retention } = checkOptions(streams, 'streams', ['retention']);
  const rule = retention === undefined ? {} : checkRetention(retention, 'streams.retention');
  return Object.keys(rule).length === 0 ? undefined : rule;
}

function checkEnhancers(enhancers: unknown): readonly StepEnhancer[] {
  if (enhancers === undefined) return [];
  const known: readonly unknown[] = ['guards', 'interceptors'];
  let given: unknown[] | undefined;
  try {
    given = Array.isArray(enhancers) ? [...(enhancers as unknown[])] : undefined;
  } catch (cause) {
    throw new InvalidInputError('enhancers', 'cannot be read', { cause });
  }
  if (!given?.every((enhancer) => known.includes(enhancer))) {
    throw new InvalidInputError('enhancers', "must be an array of 'guards' and 'interceptors'");
  }
  return given as StepEnhancer[];
}

function checkRunInTransaction({ runInTransaction, currentTransaction }: WorkflowModuleOptions): void {
  if (runInTransaction === undefined) return;
  if (typeof runInTransaction !== 'function') throw new InvalidInputError('runInTransaction', 'must be a function');
  if (!currentTransaction) throw new InvalidInputError('runInTransaction', 'needs the option currentTransaction of the same library');
}
