import { checkOptions } from '../core/check-options.js';
import { toMilliseconds, type Duration } from '../core/duration.js';
import { InvalidInputError, WorkflowConfigurationError } from '../core/errors/index.js';
import { checkText } from '../core/ids.js';
import type { QStashSettings, QueueFlow } from '../transports/qstash/settings.js';

/** How many runs of a queue QStash lets begin; see its flow control. */
export interface QueueFlowOptions {
  /** How many at a time. */
  parallelism?: number;
  /** How many per `period`. */
  rate?: number;
  /** In milliseconds or as a duration, whole seconds. Default `'1s'`. */
  period?: Duration;
}

/** How runs are driven by Upstash QStash. What is not given is taken from the environment. */
export interface QStashOptions {
  /** Default: `QSTASH_TOKEN`. */
  token?: string;
  /** Of QStash's API. Default: `QSTASH_URL`, else the vendor's. */
  url?: string;
  /** Where QStash finds this application, as `https://shop.example`: not through a global prefix, and what signatures name. Default: `QSTASH_TARGET_URL`. */
  targetUrl?: string;
  /** Default: `QSTASH_CURRENT_SIGNING_KEY`. */
  currentSigningKey?: string;
  /** Default: `QSTASH_NEXT_SIGNING_KEY`. */
  nextSigningKey?: string;
  /** Tells applications that share a QStash apart. Default `'durable'`. */
  namespace?: string;
  /** After how long a delivery hands its run over to the next one, once it has recorded a step. Default `'20s'`. */
  timeBudget?: Duration;
  /** How long the platform lets a request take. Default `'60s'`. */
  deliveryTimeout?: Duration;
  /** Sleeps up to that are messages that QStash delays; longer ones are found by the sweep. Default `'1h'`. */
  maxDelay?: Duration;
  /** The schedule of the sweep, as cron; `false` for none: somebody else calls it, or a worker runs somewhere. Default every minute. */
  sweep?: false | { cron: string };
  /** By queue. */
  flowControl?: Record<string, QueueFlowOptions>;
  /** Marks messages in QStash's console. */
  label?: string;
  /** Of platforms that freeze the process once it has answered: keeps it going until a promise is settled, as Vercel's `waitUntil`. */
  waitUntil?: (promise: Promise<unknown>) => void;
}

const KNOWN = [
  'token',
  'url',
  'targetUrl',
  'currentSigningKey',
  'nextSigningKey',
  'namespace',
  'timeBudget',
  'deliveryTimeout',
  'maxDelay',
  'sweep',
  'flowControl',
  'label',
  'waitUntil',
];
const DAY_MS = 86_400_000;

/**
 * @param path what the module's endpoints begin with
 * @param isReceiver whether this process takes deliveries
 * @throws InvalidInputError, WorkflowConfigurationError
 */
export function toQStashSettings(
  options: QStashOptions | undefined,
  environment: NodeJS.ProcessEnv,
  path: string,
  isReceiver: boolean,
): QStashSettings {
  const given = checkOptions(options === undefined ? {} : options, 'qstash', KNOWN);
  const text = (option: 'token' | 'currentSigningKey' | 'nextSigningKey', variable: string): string | undefined => {
    const value = given[option] ?? (environment[variable] || undefined);
    return value === undefined ? undefined : checkSecret(value, `qstash.${option}`);
  };
  const token = text('token', 'QSTASH_TOKEN');
  if (token === undefined) throw new InvalidInputError('qstash.token', 'is missing: give it, or set QSTASH_TOKEN');
  const current = text('currentSigningKey', 'QSTASH_CURRENT_SIGNING_KEY');
  const next = text('nextSigningKey', 'QSTASH_NEXT_SIGNING_KEY');
  const keys = current !== undefined && next !== undefined ? { current, next } : undefined;
  checkBootSecurity(environment, keys !== undefined, isReceiver);
  const target = given.targetUrl ?? (environment['QSTASH_TARGET_URL'] || undefined);
  if (target === undefined) throw new InvalidInputError('qstash.targetUrl', 'is missing: give it, or set QSTASH_TARGET_URL');
  const base = checkUrl(target, 'qstash.targetUrl');
  const api = given.url ?? (environment['QSTASH_URL'] || undefined);
  const time = (option: 'timeBudget' | 'deliveryTimeout' | 'maxDelay', standard: number, least: number): number => {
    const value = given[option];
    const ms = value === undefined ? standard : toMilliseconds(value, `qstash.${option}`);
    if (ms < least || ms > DAY_MS) throw new InvalidInputError(`qstash.${option}`, `must be from ${least} ms to a day, not ${ms} ms`);
    return ms;
  };
  const deliveryTimeoutMs = time('deliveryTimeout', 60_000, 3_000);
  const { waitUntil } = given;
  if (waitUntil !== undefined && typeof waitUntil !== 'function') throw new InvalidInputError('qstash.waitUntil', 'must be a function');
  return {
    token,
    apiUrl: api === undefined ? undefined : checkUrl(api, 'qstash.url'),
    deliveryUrl: `${base}/${path}/qstash`,
    sweepUrl: `${base}/${path}/qstash/sweep`,
    keys,
    namespace: given.namespace === undefined ? 'durable' : checkName(given.namespace, 'qstash.namespace'),
    timeBudgetMs: Math.min(time('timeBudget', 20_000, 0), deliveryTimeoutMs),
    deliveryTimeoutMs,
    maxDelayMs: time('maxDelay', 3_600_000, 1_000),
    sweepCron: toCron(given.sweep),
    flow: toFlow(given.flowControl),
    label: given.label === undefined ? undefined : checkText(given.label, 'qstash.label'),
    waitUntil,
  };
}

/** A process that would take anybody's word, or sign with keys that everybody knows, does not start. */
function checkBootSecurity(environment: NodeJS.ProcessEnv, hasKeys: boolean, isReceiver: boolean): void {
  if (environment['NODE_ENV'] !== 'production') return;
  if (environment['QSTASH_DEV'])
    throw new WorkflowConfigurationError('QSTASH_DEV is set in production: QStash’s SDK would use keys that everybody knows');
  if (isReceiver && !hasKeys)
    throw new WorkflowConfigurationError(
      'deliveries cannot be verified: set QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY, or the options qstash.currentSigningKey and nextSigningKey',
    );
}

function toCron(sweep: QStashOptions['sweep']): string | undefined {
  if (sweep === false) return undefined;
  if (sweep === undefined) return '* * * * *';
  return checkText(checkOptions(sweep, 'qstash.sweep', ['cron']).cron, 'qstash.sweep.cron');
}

function toFlow(flow: QStashOptions['flowControl']): Record<string, QueueFlow> {
  if (flow === undefined) return {};
  if (typeof flow !== 'object' || flow === null) throw new InvalidInputError('qstash.flowControl', 'must be an object with queues');
  const queues = Object.entries(flow).map(([queue, options]) => {
    const argument = `qstash.flowControl.${queue}`;
    const { parallelism, rate, period } = checkOptions(options, argument, ['parallelism', 'rate', 'period']);
    for (const [name, value] of Object.entries({ parallelism, rate })) {
      if (value !== undefined && !(Number.isInteger(value) && value > 0))
        throw new InvalidInputError(`${argument}.${name}`, 'must be a whole number of at least 1');
    }
    const periodSeconds = period === undefined ? undefined : Math.max(1, Math.round(toMilliseconds(period, `${argument}.period`) / 1_000));
    return [queue, { parallelism, rate, periodSeconds }] as const;
  });
  return Object.assign(Object.create(null) as Record<string, QueueFlow>, Object.fromEntries(queues));
}

/** Never shown in the error. */
function checkSecret(value: unknown, argument: string): string {
  if (typeof value !== 'string' || value === '' || /[^\x21-\x7e]/.test(value))
    throw new InvalidInputError(argument, 'must be a text without spaces');
  return value;
}

function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (!/^[\w.-]{1,60}$/.test(name)) throw new InvalidInputError(argument, "must be up to 60 letters, digits, '.', '_' and '-'");
  return name;
}

function checkUrl(value: unknown, argument: string): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable) throw new InvalidInputError(argument, 'must be a URL such as https://shop.example, without a query or credentials');
  return url.href.replace(/\/+$/, '');
}
