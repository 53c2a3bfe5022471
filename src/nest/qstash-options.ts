import { checkOptions, isPlainObject } from '../core/check-options.js';
import { toMilliseconds, type ConfiguredDuration } from '../core/duration.js';
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
  period?: ConfiguredDuration;
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
  timeBudget?: ConfiguredDuration;
  /** How long the platform lets a request take. Default `'60s'`. */
  deliveryTimeout?: ConfiguredDuration;
  /** Sleeps up to that are messages that QStash delays (7 days at most on its free plan, a year on others); longer ones are found by the sweep. Default `'1h'`. */
  maxDelay?: ConfiguredDuration;
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
/** Of QStash's largest plan. */
const MOST_DELAY_MS = 365 * DAY_MS;
/** What it takes to hand a run over and to answer. */
const HANDOVER_MS = 2_000;
const API_URL = 'https://qstash.upstash.io';

type TextOption = 'token' | 'url' | 'targetUrl' | 'currentSigningKey' | 'nextSigningKey';
const VARIABLES: Readonly<Record<TextOption, string>> = {
  token: 'QSTASH_TOKEN',
  url: 'QSTASH_URL',
  targetUrl: 'QSTASH_TARGET_URL',
  currentSigningKey: 'QSTASH_CURRENT_SIGNING_KEY',
  nextSigningKey: 'QSTASH_NEXT_SIGNING_KEY',
};

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
  /** A variable that is empty counts as one that is not set; an option that is given does not. */
  const text = (option: TextOption, check: (value: unknown, argument: string) => string): string | undefined => {
    const value: unknown = given[option];
    if (value !== undefined) return check(value, `qstash.${option}`);
    const variable = VARIABLES[option];
    return environment[variable] ? check(environment[variable], `qstash.${option} (${variable})`) : undefined;
  };
  const needed = (option: TextOption, check: (value: unknown, argument: string) => string): string => {
    const value = text(option, check);
    if (value === undefined) throw new InvalidInputError(`qstash.${option}`, `is missing: give it, or set ${VARIABLES[option]}`);
    return value;
  };
  const token = needed('token', checkSecret);
  const current = text('currentSigningKey', checkSecret);
  const next = text('nextSigningKey', checkSecret);
  const keys = current !== undefined && next !== undefined ? { current, next } : undefined;
  checkBootSecurity(environment, keys !== undefined, isReceiver);
  const base = needed('targetUrl', (value, argument) => checkTarget(value, argument, path));
  const time = (option: 'timeBudget' | 'deliveryTimeout' | 'maxDelay', standard: number, least: number, most = DAY_MS): number => {
    const value = given[option];
    const ms = value === undefined ? standard : toMilliseconds(value, `qstash.${option}`);
    if (ms < least || ms > most)
      throw new InvalidInputError(`qstash.${option}`, `must be from ${least} ms to ${most / DAY_MS} days, not ${ms} ms`);
    return ms;
  };
  const deliveryTimeoutMs = time('deliveryTimeout', 60_000, 3_000);
  const { waitUntil } = given;
  if (waitUntil !== undefined && typeof waitUntil !== 'function') throw new InvalidInputError('qstash.waitUntil', 'must be a function');
  return {
    token,
    apiUrl: text('url', checkUrl) ?? API_URL,
    deliveryUrl: `${base}/${path}/qstash`,
    sweepUrl: `${base}/${path}/qstash/sweep`,
    keys,
    namespace: given.namespace === undefined ? 'durable' : checkName(given.namespace, 'qstash.namespace'),
    timeBudgetMs: Math.min(time('timeBudget', 20_000, 0), deliveryTimeoutMs - HANDOVER_MS),
    deliveryTimeoutMs,
    longestStepMs: longestStep(deliveryTimeoutMs - HANDOVER_MS),
    maxDelayMs: time('maxDelay', 3_600_000, 1_000, MOST_DELAY_MS),
    sweepCron: toCron(given.sweep),
    flow: toFlow(given.flowControl),
    label: given.label === undefined ? undefined : checkLabel(given.label),
    waitUntil,
  };
}

/** Its timeout has to be heard of before the run is let go of: a second before, or less where there is little time. */
function longestStep(untilLetGoMs: number): number {
  return untilLetGoMs - Math.min(1_000, untilLetGoMs / 4);
}

/** A process that would take anybody's word, or sign with keys that everybody knows, does not start. */
function checkBootSecurity(environment: NodeJS.ProcessEnv, hasKeys: boolean, isReceiver: boolean): void {
  if (environment['NODE_ENV'] !== 'production') return;
  // So the SDK says that it is off.
  if (!['', '0', 'false', undefined].includes(environment['QSTASH_DEV']))
    throw new WorkflowConfigurationError('QSTASH_DEV is set in production: QStash’s SDK would use keys that everybody knows');
  if (isReceiver && !hasKeys)
    throw new WorkflowConfigurationError(
      'deliveries cannot be verified: set QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY, or the options qstash.currentSigningKey and nextSigningKey',
    );
}

function toCron(sweep: QStashOptions['sweep']): string | undefined {
  if (sweep === false) return undefined;
  if (sweep === undefined) return '* * * * *';
  const cron = checkText(checkOptions(sweep, 'qstash.sweep', ['cron']).cron, 'qstash.sweep.cron').trim();
  // Of its meaning QStash is the judge; without a sweep, sleeps would not end.
  if (!/^(?:CRON_TZ=[\w/+-]+ +)?[\w*,/?#-]+(?: +[\w*,/?#-]+){4}$/.test(cron))
    throw new InvalidInputError('qstash.sweep.cron', "must be five fields, as '*/5 * * * *', after a 'CRON_TZ=Europe/Paris ' if need be");
  return cron;
}

function toFlow(flow: unknown): Record<string, QueueFlow> {
  if (flow === undefined) return {};
  if (!isPlainObject(flow)) throw new InvalidInputError('qstash.flowControl', 'must be an object with queues');
  const queues = Object.entries(flow).map(([queue, options]) => {
    const argument = `qstash.flowControl.${checkText(queue, 'qstash.flowControl: the name of a queue')}`;
    return [queue, toQueueFlow(options as QueueFlowOptions, argument)] as const;
  });
  return Object.assign(Object.create(null) as Record<string, QueueFlow>, Object.fromEntries(queues));
}

function toQueueFlow(options: QueueFlowOptions, argument: string): QueueFlow {
  const { parallelism, rate, period } = checkOptions(options, argument, ['parallelism', 'rate', 'period']);
  for (const [name, value] of Object.entries({ parallelism, rate })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value > 0))
      throw new InvalidInputError(`${argument}.${name}`, 'must be a whole number of at least 1');
  }
  if (parallelism === undefined && rate === undefined) throw new InvalidInputError(argument, 'must have a parallelism or a rate');
  if (period === undefined) return { parallelism, rate };
  if (rate === undefined) throw new InvalidInputError(`${argument}.period`, 'is for a rate');
  const periodSeconds = toMilliseconds(period, `${argument}.period`) / 1_000;
  if (!Number.isInteger(periodSeconds) || periodSeconds < 1)
    throw new InvalidInputError(`${argument}.period`, 'must be whole seconds, one or more');
  return { parallelism, rate, periodSeconds };
}

/** Never shown in the error. */
function checkSecret(value: unknown, argument: string): string {
  if (typeof value !== 'string' || value === '' || /[^\x21-\x7e]/.test(value))
    throw new InvalidInputError(argument, 'must be a text without spaces');
  return value;
}

/** Without a dot: that comes behind it in ids of messages. */
function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (!/^[\w-]{1,60}$/.test(name)) throw new InvalidInputError(argument, "must be up to 60 letters, digits, '_' and '-'");
  return name;
}

/** It travels as a header. */
function checkLabel(value: unknown): string {
  const label = checkText(value, 'qstash.label');
  if (/[^\x21-\x7e]/.test(label)) throw new InvalidInputError('qstash.label', 'must be ASCII without spaces');
  return label;
}

function checkTarget(value: unknown, argument: string, path: string): string {
  const base = checkUrl(value, argument);
  if (!`${base}/`.includes(`/${path}/qstash/`)) return base;
  throw new InvalidInputError(argument, `must not have the endpoint's own path: /${path}/qstash is put behind it`);
}

function checkUrl(value: unknown, argument: string): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable) throw new InvalidInputError(argument, 'must be a URL such as https://shop.example, without a query or credentials');
  return (url.origin + url.pathname).replace(/\/+$/, '');
}
