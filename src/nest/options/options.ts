import type { ConnectionOptions as TlsOptions } from 'node:tls';

import { checkNamedOptions, checkOptions } from '../../core/check-options.js';
import { toMilliseconds } from '../../core/duration.js';
import { InvalidInputError } from '../../core/errors/index.js';
import type { PayloadCodec } from '../../core/payloads.js';
import { checkText } from '../../core/ids.js';
import { LISTENER_TIMEOUT_MS } from '../../core/run-events.js';
import type { Pooler } from '../../core/pooler.js';
import { checkSchemaName, DEFAULT_SCHEMA } from '../../store/schema.js';
import { checkRetention } from '../../core/retention.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy } from '../../core/retry-policy.js';
import { MAX_TIMER_MS } from '../../core/timers.js';
import { readDatabaseUrl } from '../../host/database-url.js';
import { DEFAULT_PATH } from './http-options.js';
import { toQStashSettings } from './qstash-options.js';
import type {
  ConnectionOptions,
  ModuleSettings,
  StepEnhancer,
  WorkerOptions,
  WorkerSettings,
  WorkflowModuleOptions,
} from './module-options.js';

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
  'streams',
  'defaults',
  'payloads',
  'logFailures',
];
const KNOWN_WORKER_OPTIONS = [
  'queues',
  'concurrency',
  'pollInterval',
  'maxPollInterval',
  'sessionTtl',
  'suspendAfter',
  'shutdownTimeout',
  'eagerStart',
  'verifyReplay',
  'onMismatch',
];
const MAX_PAYLOAD_BYTES = 256 << 20;

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
    streamRetention: checkStreams(given.streams),
    logFailures: given.logFailures ?? true,
  };
}

function workerStart(worker: WorkflowModuleOptions['worker'], environment: NodeJS.ProcessEnv): ModuleSettings['workerStart'] {
  const override = environment['DURABLE_WORKER'];
  if (override !== undefined && override !== '' && override !== 'on' && override !== 'off') {
    throw new InvalidInputError('DURABLE_WORKER', `must be 'on' or 'off', not ${JSON.stringify(override)}`);
  }
  if (override === 'off' || worker === false) return 'never';
  return worker === undefined ? 'listening' : 'boot';
}

function toWorkerSettings(worker: WorkerOptions, transport: ModuleSettings['transport']): WorkerSettings {
  if ((worker as unknown) === true)
    throw new InvalidInputError('worker', 'must be false or an object: {} executes runs with the default settings');
  const given = checkOptions(worker, 'worker', KNOWN_WORKER_OPTIONS);
  const { concurrency = 50, eagerStart, verifyReplay = 'auto', onMismatch = 'auto' } = given;
  const queues = checkQueues(given.queues);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 10_000) {
    throw new InvalidInputError('worker.concurrency', 'must be a whole number from 1 to 10,000');
  }
  checkBoolean(eagerStart, 'worker.eagerStart');
  if (!['auto', 'always', 'never'].includes(verifyReplay)) {
    throw new InvalidInputError('worker.verifyReplay', "must be 'auto', 'always' or 'never'");
  }
  if (!['auto', 'block', 'fail'].includes(onMismatch))
    throw new InvalidInputError('worker.onMismatch', "must be 'auto', 'block' or 'fail'");
  const durationOption = (
    option: Exclude<keyof WorkerOptions, 'queues' | 'concurrency' | 'eagerStart' | 'verifyReplay' | 'onMismatch'>,
    defaultMs: number,
    minMs: number,
  ): number => {
    const value = given[option];
    const ms = value === undefined ? defaultMs : toMilliseconds(value, `worker.${option}`);
    if (ms < minMs || ms > MAX_TIMER_MS)
      throw new InvalidInputError(`worker.${option}`, `must be from ${minMs} ms to ${MAX_TIMER_MS} ms, not ${ms} ms`);
    return ms;
  };
  const pollIntervalMs = durationOption('pollInterval', 100, 1);
  return {
    queues,
    concurrency,
    pollIntervalMs,
    maxPollIntervalMs: Math.max(pollIntervalMs, durationOption('maxPollInterval', 1_000, 1)),
    sessionTtlMs: durationOption('sessionTtl', 30_000, 2_000),
    suspendAfterMs: durationOption('suspendAfter', transport === 'qstash' ? QSTASH_SUSPEND_AFTER_MS : 1_000, 0),
    shutdownTimeoutMs: durationOption('shutdownTimeout', 20_000, 0),
    eagerStart: eagerStart ?? true,
    verifyReplay,
    onMismatch,
  };
}

/**
 * Default of `worker.suspendAfter` with `transport: 'qstash'`, in milliseconds. The time is short,
 * because a platform also bills the time in which a request only waits.
 */
const QSTASH_SUSPEND_AFTER_MS = 100;

function checkTransport(transport: unknown, qstash: unknown): ModuleSettings['transport'] {
  if (transport !== undefined && transport !== 'poll' && transport !== 'qstash' && transport !== 'both')
    throw new InvalidInputError('transport', "must be 'poll', 'qstash' or 'both'");
  if (qstash !== undefined && (transport === undefined || transport === 'poll'))
    throw new InvalidInputError('qstash', "requires transport 'qstash' or 'both'");
  return transport ?? 'poll';
}

function checkConnection(connection: ConnectionOptions | undefined): ConnectionOptions | undefined {
  if (connection === undefined) return undefined;
  const given = checkOptions<Partial<Record<string, unknown>>>(connection, 'connection', ['url', 'ssl', 'poolSize', 'embedded']);
  if (given['embedded'] !== undefined) return { embedded: checkEmbedded(checkOptions(given, 'connection', ['embedded'])['embedded']) };
  const { url, ssl, poolSize } = given as { url: string; ssl?: boolean | TlsOptions; poolSize?: number };
  if (ssl !== undefined && typeof ssl !== 'boolean' && (typeof ssl !== 'object' || ssl === null || Array.isArray(ssl))) {
    throw new InvalidInputError('connection.ssl', 'must be a boolean or an object with options of node:tls');
  }
  readDatabaseUrl(url, 'connection.url', ssl);
  if (poolSize !== undefined && !(Number.isInteger(poolSize) && poolSize >= 3 && poolSize <= 1_000)) {
    throw new InvalidInputError('connection.poolSize', 'must be a whole number from 3 to 1,000');
  }
  return { url, ...(ssl === undefined ? {} : { ssl }), ...(poolSize === undefined ? {} : { poolSize }) };
}

type EmbeddedOptions = Extract<ConnectionOptions, { embedded: unknown }>['embedded'];

function checkEmbedded(embedded: unknown): EmbeddedOptions {
  if (embedded === true) return true;
  const given = checkOptions(embedded as Exclude<EmbeddedOptions, true>, 'connection.embedded', ['dataDir', 'allowInProduction']);
  if (typeof given.dataDir !== 'string' || given.dataDir === '' || given.dataDir.includes('\0')) {
    throw new InvalidInputError('connection.embedded.dataDir', 'must be the name of a directory');
  }
  if (![true, undefined].includes(given.allowInProduction)) {
    throw new InvalidInputError('connection.embedded.allowInProduction', 'must be true or absent');
  }
  return given;
}

function checkListen(listen: WorkflowModuleOptions['listen'], pooler: Pooler | undefined): ModuleSettings['listen'] {
  if (pooler && listen === true) {
    throw new InvalidInputError('listen', `cannot be true with pooler: name the server's own address, { url }, or leave it out`);
  }
  if (listen === undefined || typeof listen === 'boolean') return listen ?? pooler === undefined;
  const { url } = checkOptions(listen, 'listen', ['url']);
  readDatabaseUrl(url, 'listen.url');
  return { url };
}

function checkReadReplica(replica: WorkflowModuleOptions['readReplica']): ModuleSettings['readReplica'] {
  if (replica === undefined) return undefined;
  const { url } = checkOptions(replica, 'readReplica', ['url']);
  readDatabaseUrl(url, 'readReplica.url');
  return { url };
}

function checkQueues(queues: unknown): readonly string[] | undefined {
  if (queues === undefined) return undefined;
  let names: unknown[];
  try {
    names = Array.isArray(queues) ? [...(queues as unknown[])] : [];
  } catch (cause) {
    throw new InvalidInputError('worker.queues', 'cannot be read', { cause });
  }
  if (names.length === 0) throw new InvalidInputError('worker.queues', 'must be an array of at least one name');
  return names.map((queue, index) => checkText(queue, `worker.queues[${index}]`));
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

function checkBoolean(value: unknown, argument: string): void {
  if (value !== undefined && typeof value !== 'boolean') throw new InvalidInputError(argument, 'must be a boolean');
}

function checkRunInTransaction({ runInTransaction, currentTransaction }: WorkflowModuleOptions): void {
  if (runInTransaction === undefined) return;
  if (typeof runInTransaction !== 'function') throw new InvalidInputError('runInTransaction', 'must be a function');
  if (!currentTransaction) throw new InvalidInputError('runInTransaction', 'needs the option currentTransaction of the same library');
}
