import { checkOptions } from '../core/check-options.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { Pooler } from '../core/pooler.js';
import { checkRetention, type RetentionOptions, type RetentionRule } from '../core/retention.js';
import { checkSchemaName } from '../store/schema.js';

/** Schema of the World's tables when none is configured. */
const DEFAULT_WORLD_SCHEMA = 'durable_world';

/** QStash, for a World that is called instead of polling. */
export interface WorldQStashOptions {
  /** Token of the QStash API. (default: the variable `QSTASH_TOKEN`) */
  token?: string;
  /** Address of the application as QStash calls it. (default: the variable `QSTASH_TARGET_URL`) */
  targetUrl?: string;
  /** Key with which QStash signs. (default: the variable `QSTASH_CURRENT_SIGNING_KEY`) */
  currentSigningKey?: string;
  /**
   * Key with which QStash signs after the next rotation. (default: the variable
   * `QSTASH_NEXT_SIGNING_KEY`)
   */
  nextSigningKey?: string;
  /** Address of the QStash API. (default: the variable `QSTASH_URL`, or QStash's own) */
  url?: string;
}

/** Options of a World. */
export interface WorldOptions {
  /** URL of the database. (default: the variable `DATABASE_URL`) */
  databaseUrl?: string;
  /**
   * Schema of the World's tables. (default: the variable `DURABLE_WORLD_SCHEMA`, or
   * `'durable_world'`)
   */
  schema?: string;
  /**
   * Name of the deployment. A process delivers only messages of its own deployment, so applications
   * that share a schema need names of their own. (default: the variable `DEPLOYMENT_ID`, or
   * `'default'`)
   */
  deploymentId?: string;
  /** QStash instead of the poller. (default: the poller) */
  qstash?: WorldQStashOptions;
  /**
   * Address at which the poller finds the application's routes. (default: the variable
   * `WORKFLOW_LOCAL_BASE_URL`, or `http://localhost:` and the variable `PORT`, or port 3000)
   */
  baseUrl?: string;
  /** Maximum number of deliveries at the same time in this process. (default: `20`) */
  concurrency?: number;
  /** Milliseconds between two looks for messages of other processes. (default: `500`) */
  pollIntervalMs?: number;
  /**
   * Milliseconds after its last event from which a run without a message counts as lost, and gets a
   * message. (default: `15000`)
   */
  recoverAfterMs?: number;
  /**
   * Milliseconds for which a closing World waits for its deliveries. Those that take longer begin
   * again in another process. (default: `20000`)
   */
  shutdownTimeoutMs?: number;
  /**
   * Times after which ended runs of the schema are removed, by their status, with their events and
   * streams. (default: they are kept)
   */
  retention?: RetentionOptions;
  /** Maximum number of connections. (default: `10`) */
  poolSize?: number;
  /** Kind of the pooler between the application and the database. (default: none) */
  pooler?: Pooler;
  /** False to only check the schema instead of migrating it. (default: `true`) */
  autoMigrate?: boolean;
}

/** Checked settings of QStash. */
export interface ResolvedQStash {
  readonly token: string;
  readonly targetUrl: string;
  readonly currentSigningKey: string;
  readonly nextSigningKey: string;
  readonly url: string | undefined;
}

/** Checked options. */
export interface WorldSettings {
  readonly databaseUrl: string;
  readonly schema: string;
  readonly deploymentId: string;
  readonly qstash: ResolvedQStash | undefined;
  readonly baseUrl: string | undefined;
  readonly concurrency: number;
  readonly pollIntervalMs: number;
  readonly recoverAfterMs: number;
  readonly shutdownTimeoutMs: number;
  /** Undefined when all runs are kept. */
  readonly retention: RetentionRule | undefined;
  readonly poolSize: number;
  readonly pooler: Pooler | undefined;
  readonly autoMigrate: 'migrate' | 'check';
}

const OPTIONS = [
  'databaseUrl',
  'schema',
  'deploymentId',
  'qstash',
  'baseUrl',
  'concurrency',
  'pollIntervalMs',
  'recoverAfterMs',
  'shutdownTimeoutMs',
  'retention',
  'poolSize',
  'pooler',
  'autoMigrate',
];
const QSTASH_OPTIONS = ['token', 'targetUrl', 'currentSigningKey', 'nextSigningKey', 'url'];

/**
 * Checks options, and completes them from the environment.
 *
 * @throws InvalidInputError that names the wrong option; WorkflowConfigurationError for a missing
 *   database or a wrong variable
 */
export function resolveOptions(given: WorldOptions = {}, hasPool = false): WorldSettings {
  const options = checkOptions(given, 'options', OPTIONS);
  const { DATABASE_URL, DURABLE_WORLD_SCHEMA, DEPLOYMENT_ID } = process.env;
  const databaseUrl = hasPool ? 'postgresql://' : (options.databaseUrl ?? DATABASE_URL);
  if (databaseUrl === undefined || databaseUrl === '') {
    throw new WorkflowConfigurationError('nestjs-durable/world needs a database: set databaseUrl or the variable DATABASE_URL');
  }
  const { autoMigrate = true, pooler, baseUrl } = options;
  if (typeof autoMigrate !== 'boolean') throw new InvalidInputError('options.autoMigrate', 'must be a boolean');
  if (pooler !== undefined && pooler !== 'transaction') throw new InvalidInputError('options.pooler', `must be 'transaction'`);
  if (baseUrl !== undefined && !isAddress(baseUrl)) throw new InvalidInputError('options.baseUrl', 'must be an http or https URL');
  return {
    databaseUrl: checkText(databaseUrl, 'options.databaseUrl'),
    schema: checkSchemaName(options.schema ?? (DURABLE_WORLD_SCHEMA || DEFAULT_WORLD_SCHEMA), 'options.schema'),
    deploymentId: checkText(options.deploymentId ?? (DEPLOYMENT_ID || 'default'), 'options.deploymentId'),
    qstash: resolveQStash(options.qstash),
    baseUrl,
    concurrency: positive(options.concurrency ?? 20, 'concurrency'),
    pollIntervalMs: positive(options.pollIntervalMs ?? 500, 'pollIntervalMs'),
    recoverAfterMs: positive(options.recoverAfterMs ?? 15_000, 'recoverAfterMs'),
    shutdownTimeoutMs: positive(options.shutdownTimeoutMs ?? 20_000, 'shutdownTimeoutMs'),
    retention: resolveRetention(options.retention),
    poolSize: positive(options.poolSize ?? 10, 'poolSize'),
    pooler,
    autoMigrate: autoMigrate ? 'migrate' : 'check',
  };
}

function resolveQStash(given: WorldQStashOptions | undefined): ResolvedQStash | undefined {
  const { QSTASH_TOKEN, QSTASH_TARGET_URL, QSTASH_CURRENT_SIGNING_KEY, QSTASH_NEXT_SIGNING_KEY, QSTASH_URL } = process.env;
  if (given === undefined && !QSTASH_TARGET_URL) return undefined;
  const options = checkOptions(given ?? {}, 'options.qstash', QSTASH_OPTIONS);
  const needed = (name: string, value: unknown, variable: string): string => {
    if (value === undefined || value === '') throw new WorkflowConfigurationError(`qstash needs ${name}: set the option or ${variable}`);
    return checkText(value, `options.qstash.${name}`);
  };
  const targetUrl = needed('targetUrl', options.targetUrl ?? QSTASH_TARGET_URL, 'QSTASH_TARGET_URL');
  if (!isAddress(targetUrl)) throw new InvalidInputError('options.qstash.targetUrl', 'must be an http or https URL');
  return {
    token: needed('token', options.token ?? QSTASH_TOKEN, 'QSTASH_TOKEN'),
    targetUrl,
    currentSigningKey: needed('currentSigningKey', options.currentSigningKey ?? QSTASH_CURRENT_SIGNING_KEY, 'QSTASH_CURRENT_SIGNING_KEY'),
    nextSigningKey: needed('nextSigningKey', options.nextSigningKey ?? QSTASH_NEXT_SIGNING_KEY, 'QSTASH_NEXT_SIGNING_KEY'),
    url: options.url ?? (QSTASH_URL || undefined),
  };
}

function resolveRetention(given: RetentionOptions | undefined): RetentionRule | undefined {
  const rule = given === undefined ? {} : checkRetention(given, 'options.retention');
  return Object.keys(rule).length === 0 ? undefined : rule;
}

/** Address of the application. Read late, because a server may choose its port late. */
export function baseUrlOf({ baseUrl }: WorldSettings): string {
  const { WORKFLOW_LOCAL_BASE_URL, PORT } = process.env;
  return baseUrl ?? (WORKFLOW_LOCAL_BASE_URL || `http://localhost:${PORT || '3000'}`);
}

function isAddress(value: unknown): boolean {
  return typeof value === 'string' && /^https?:\/\//.test(value) && URL.canParse(value);
}

function positive(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0 && value < 2 ** 31) return value;
  throw new InvalidInputError(`options.${name}`, 'must be a positive integer');
}
