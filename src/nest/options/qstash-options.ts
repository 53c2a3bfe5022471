import { checkOptions, isPlainObject } from '../../core/check-options.js';
import { toMilliseconds, type ConfiguredDuration } from '../../core/duration.js';
import { InvalidInputError, WorkflowConfigurationError } from '../../core/errors/index.js';
import { checkText } from '../../core/ids.js';
import type { QStashSettings, QueueFlow } from '../../transports/qstash/settings.js';

/**
 * Limits of a queue: how many of its runs QStash delivers at the same time and per period (flow
 * control).
 */
export interface QueueFlowOptions {
  /** Number of runs that QStash delivers at the same time, at least 1. (default: no limit) */
  parallelism?: number;
  /** Number of runs that QStash delivers per `period`, at least 1. (default: no limit) */
  rate?: number;
  /**
   * Period of `rate`, in milliseconds or as a duration; whole seconds, at least one. (default:
   * `'1s'`)
   */
  period?: ConfiguredDuration;
}

/** Options of Upstash QStash. Options that are not set are read from the environment. */
export interface QStashOptions {
  /** Token for QStash's API. (default: `QSTASH_TOKEN`) */
  token?: string;
  /** Address of QStash's API. (default: `QSTASH_URL`; without it, `https://qstash.upstash.io`) */
  url?: string;
  /**
   * Address at which QStash reaches this application, such as `https://shop.example`, without the
   * global prefix. Signatures name this address. (default: `QSTASH_TARGET_URL`)
   */
  targetUrl?: string;
  /** Key that verifies signatures. (default: `QSTASH_CURRENT_SIGNING_KEY`) */
  currentSigningKey?: string;
  /**
   * Key that QStash will use next, so that signatures stay valid when QStash rotates its keys.
   * (default: `QSTASH_NEXT_SIGNING_KEY`)
   */
  nextSigningKey?: string;
  /**
   * Name that distinguishes applications that share a QStash account: up to 60 letters, digits, `_`
   * and `-`. (default: `'durable'`)
   */
  namespace?: string;
  /**
   * Time after which a delivery passes its run on to another delivery, if the first delivery has
   * recorded at least one step. In milliseconds or as a duration; never longer than
   * `deliveryTimeout` minus 2 s. (default: `'20s'`)
   */
  timeBudget?: ConfiguredDuration;
  /**
   * Time after which the platform ends a request, in milliseconds or as a duration; at least 3 s.
   * (default: `'60s'`)
   */
  deliveryTimeout?: ConfiguredDuration;
  /**
   * Longest delay of a message, in milliseconds or as a duration, from 1 s to 365 days. For a sleep
   * up to this length, QStash delays the message. The sweep finds the end of a longer sleep.
   * QStash's free plan allows 7 days, the largest plan a year. (default: `'1h'`)
   */
  maxDelay?: ConfiguredDuration;
  /**
   * Schedule of the sweep, as a cron expression. The sweep finds due runs that no message has
   * announced. With `false`, no schedule is created: use it when something else calls the sweep, or
   * when a worker executes runs of the same database. (default: `{ cron: '* * * * *' }`, every
   * minute)
   */
  sweep?: false | { cron: string };
  /** Flow control of each queue, by the name of the queue. (default: none) */
  flowControl?: Record<string, QueueFlowOptions>;
  /** Label of messages in QStash's console. (default: none) */
  label?: string;
  /**
   * Keeps the process running until a promise is settled, like Vercel's `waitUntil`. Needed on
   * platforms that freeze the process after it has answered. (default: none)
   */
  waitUntil?: (promise: Promise<unknown>) => void;
}

const KNOWN_OPTIONS = [
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
/** Longest delay of a message that QStash's largest plan allows, in milliseconds. */
const MAX_DELAY_MS = 365 * DAY_MS;
/** Milliseconds reserved for releasing a run to the next delivery and for answering the request. */
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
 * Checks the QStash options, and reads options that are not set from the environment.
 *
 * @param path prefix of the paths of the module's endpoints
 * @param isReceiver true when this process receives deliveries
 * @throws InvalidInputError, WorkflowConfigurationError
 */
export function toQStashSettings(
  options: QStashOptions | undefined,
  environment: NodeJS.ProcessEnv,
  path: string,
  isReceiver: boolean,
): QStashSettings {
  const given = checkOptions(options === undefined ? {} : options, 'qstash', KNOWN_OPTIONS);
  /**
   * Returns the value of an option, or else of its environment variable. An empty variable counts
   * as not set; an empty option is an error.
   */
  const text = (option: TextOption, check: (value: unknown, argument: string) => string): string | undefined => {
    const value: unknown = given[option];
    if (value !== undefined) return check(value, `qstash.${option}`);
    const variable = VARIABLES[option];
    return environment[variable] ? check(environment[variable], `qstash.${option} (${variable})`) : undefined;
  };
  const required = (option: TextOption, check: (value: unknown, argument: string) => string): string => {
    const value = text(option, check);
    if (value === undefined) throw new InvalidInputError(`qstash.${option}`, `is missing: pass it, or set ${VARIABLES[option]}`);
    return value;
  };
  const token = required('token', checkSecret);
  const current = text('currentSigningKey', checkSecret);
  const next = text('nextSigningKey', checkSecret);
  const keys = current !== undefined && next !== undefined ? { current, next } : undefined;
  checkBootSecurity(environment, keys !== undefined, isReceiver);
  const base = required('targetUrl', (value, argument) => checkTarget(value, argument, path));
  const durationOption = (
    option: 'timeBudget' | 'deliveryTimeout' | 'maxDelay',
    defaultMs: number,
    minMs: number,
    maxMs = DAY_MS,
  ): number => {
    const value = given[option];
    const ms = value === undefined ? defaultMs : toMilliseconds(value, `qstash.${option}`);
    if (ms < minMs || ms > maxMs)
      throw new InvalidInputError(`qstash.${option}`, `must be from ${minMs} ms to ${maxMs / DAY_MS} days, not ${ms} ms`);
    return ms;
  };
  const deliveryTimeoutMs = durationOption('deliveryTimeout', 60_000, 3_000);
  const { waitUntil } = given;
  if (waitUntil !== undefined && typeof waitUntil !== 'function') throw new InvalidInputError('qstash.waitUntil', 'must be a function');
  return {
    token,
    apiUrl: text('url', checkUrl) ?? API_URL,
    deliveryUrl: `${base}/${path}/qstash`,
    sweepUrl: `${base}/${path}/qstash/sweep`,
    keys,
    namespace: given.namespace === undefined ? 'durable' : checkName(given.namespace, 'qstash.namespace'),
    timeBudgetMs: Math.min(durationOption('timeBudget', 20_000, 0), deliveryTimeoutMs - HANDOVER_MS),
    deliveryTimeoutMs,
    longestStepMs: longestStep(deliveryTimeoutMs - HANDOVER_MS),
    maxDelayMs: durationOption('maxDelay', 3_600_000, 1_000, MAX_DELAY_MS),
    sweepCron: toCron(given.sweep),
    flow: toFlow(given.flowControl),
    label: given.label === undefined ? undefined : checkLabel(given.label),
    waitUntil,
  };
}

/**
 * Returns the longest timeout that a step may have, in milliseconds. A step that times out must be
 * recorded before the delivery releases its run. The limit is therefore one second shorter than the
 * time until the release, or a quarter shorter if that time is less than four seconds.
 *
 * @param untilHandoverMs milliseconds from the start of a delivery to the release of its run
 */
function longestStep(untilHandoverMs: number): number {
  return untilHandoverMs - Math.min(1_000, untilHandoverMs / 4);
}

/**
 * Refuses to boot a production process that cannot verify the deliveries it receives, or whose
 * QStash SDK would use publicly known keys.
 */
function checkBootSecurity(environment: NodeJS.ProcessEnv, hasKeys: boolean, isReceiver: boolean): void {
  if (environment['NODE_ENV'] !== 'production') return;
  // With one of these values of QSTASH_DEV, the SDK's development mode is off.
  if (!['', '0', 'false', undefined].includes(environment['QSTASH_DEV']))
    throw new WorkflowConfigurationError('QSTASH_DEV is set in production: QStash’s SDK would use publicly known keys');
  if (isReceiver && !hasKeys)
    throw new WorkflowConfigurationError(
      'deliveries cannot be verified: set QSTASH_CURRENT_SIGNING_KEY and QSTASH_NEXT_SIGNING_KEY, or the options qstash.currentSigningKey and nextSigningKey',
    );
}

function toCron(sweep: QStashOptions['sweep']): string | undefined {
  if (sweep === false) return undefined;
  if (sweep === undefined) return '* * * * *';
  const cron = checkText(checkOptions(sweep, 'qstash.sweep', ['cron']).cron, 'qstash.sweep.cron').trim();
  // Check only the form, because QStash decides what the expression means. A wrong expression must
  // not pass unnoticed: without a sweep, long sleeps would never end.
  if (!/^(?:CRON_TZ=[\w/+-]+ +)?[\w*,/?#-]+(?: +[\w*,/?#-]+){4}$/.test(cron))
    throw new InvalidInputError(
      'qstash.sweep.cron',
      "must be five fields, as '*/5 * * * *', with an optional 'CRON_TZ=Europe/Paris ' in front",
    );
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
  if (rate === undefined) throw new InvalidInputError(`${argument}.period`, 'requires a rate');
  const periodSeconds = toMilliseconds(period, `${argument}.period`) / 1_000;
  if (!Number.isInteger(periodSeconds) || periodSeconds < 1)
    throw new InvalidInputError(`${argument}.period`, 'must be whole seconds, one or more');
  return { parallelism, rate, periodSeconds };
}

/** Checks a secret, such as a token or key. The error never shows the value. */
function checkSecret(value: unknown, argument: string): string {
  if (typeof value !== 'string' || value === '' || /[^\x21-\x7e]/.test(value))
    throw new InvalidInputError(argument, 'must be a text without spaces');
  return value;
}

/**
 * Checks the namespace, which must not contain a dot. In deduplication ids and flow-control keys, a
 * dot separates the namespace from the rest.
 */
function checkName(value: unknown, argument: string): string {
  const name = checkText(value, argument);
  if (!/^[\w-]{1,60}$/.test(name)) throw new InvalidInputError(argument, "must be up to 60 letters, digits, '_' and '-'");
  return name;
}

/** Checks the label, which QStash receives as an HTTP header. */
function checkLabel(value: unknown): string {
  const label = checkText(value, 'qstash.label');
  if (/[^\x21-\x7e]/.test(label)) throw new InvalidInputError('qstash.label', 'must be ASCII without spaces');
  return label;
}

function checkTarget(value: unknown, argument: string, path: string): string {
  const base = checkUrl(value, argument);
  if (!`${base}/`.includes(`/${path}/qstash/`)) return base;
  throw new InvalidInputError(argument, `must not contain the endpoint's own path: /${path}/qstash is appended to it`);
}

function checkUrl(value: unknown, argument: string): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isUsable = url && ['http:', 'https:'].includes(url.protocol) && url.search + url.hash + url.username + url.password === '';
  if (!isUsable) throw new InvalidInputError(argument, 'must be a URL such as https://shop.example, without a query or credentials');
  return (url.origin + url.pathname).replace(/\/+$/, '');
}
