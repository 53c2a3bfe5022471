import { inspect } from 'node:util';

import { describe, expect, it } from '@jest/globals';

import { InvalidInputError, WorkflowConfigurationError, WorkflowModule } from '../../src/index.js';
import { toSettings } from '../../src/nest/options/options.js';

const SECRET = 'a secret that nobody may see';
const ENVIRONMENT = {
  QSTASH_TOKEN: 'token',
  QSTASH_TARGET_URL: 'https://shop.example',
  QSTASH_CURRENT_SIGNING_KEY: 'sig_1',
  QSTASH_NEXT_SIGNING_KEY: 'sig_2',
};

/** Settings that the module computes from its options, in this environment alone. */
const settingsOf = (qstash: unknown, environment: NodeJS.ProcessEnv = ENVIRONMENT, more: object = {}) =>
  toSettings({ transport: 'qstash', ...more, ...(qstash === undefined ? {} : { qstash: qstash as object }) }, environment).qstash!;

function refusal(work: () => unknown): Error & { argument?: string } {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('that was accepted');
}

type Case = [argument: string, value: unknown];
const cases = (argument: string, values: readonly unknown[]): Case[] => values.map((value) => [argument, value]);
const shown = ([argument, value]: Case): [string, string, unknown] => [argument, inspect(value).slice(0, 60), value];

const NOT_TEXT = [null, 7, true, {}, [], Symbol('x')];
const BAD_SECRETS = [...NOT_TEXT, '', ' ', SECRET, `${SECRET}\r\nX: y`, 'key\n', 'schlüssel', 'a\0b'];
const BAD_URLS = [...NOT_TEXT, '', 'shop.example', '/path', 'ftp://shop.example', 'javascript:alert(1)', 'https://', 'https://a b'];
const MORE_BAD_URLS = [`https://user:${SECRET}@shop.example`, `https://shop.example?token=${SECRET}`, 'https://shop.example/#x'];
const BAD_TIMES = [null, -1, Number.NaN, Infinity, 'soon', '', '2 years', {}, [], 10n];
const BAD_CRONS = [
  ...NOT_TEXT,
  '',
  '* * * *',
  '* * * * * *',
  'every minute',
  '@hourly',
  '* * * * *\r\nX: y',
  'TZ * * * * *',
  '*;* * * * *',
];
const BAD_COUNTS = [null, 0, -1, 1.5, '5', Number.NaN, Infinity, 2 ** 60];

const refused: Case[] = [
  ...cases('qstash.token', BAD_SECRETS),
  ...cases('qstash.currentSigningKey', BAD_SECRETS),
  ...cases('qstash.nextSigningKey', BAD_SECRETS),
  ...cases('qstash.url', [...BAD_URLS, ...MORE_BAD_URLS]),
  ...cases('qstash.targetUrl', [
    ...BAD_URLS,
    ...MORE_BAD_URLS,
    'https://shop.example/workflow/qstash',
    'https://shop.example/workflow/qstash/',
  ]),
  ...cases('qstash.namespace', [...NOT_TEXT, '', 'a b', 'a:b', 'a.b', 'a/b', 'ä', 'a\r\n', 'x'.repeat(61)]),
  ...cases('qstash.timeBudget', BAD_TIMES),
  ...cases('qstash.deliveryTimeout', [...BAD_TIMES, 0, 2_999]),
  ...cases('qstash.maxDelay', [...BAD_TIMES, 0, 999]),
  ...cases('qstash.sweep', [true, null, 7, '* * * * *', []]),
  ...cases('qstash.label', [...NOT_TEXT, '', 'a\r\nUpstash-Forward-X: y', 'a b', 'ä', 'x'.repeat(256)]),
  ...cases('qstash.waitUntil', [null, 7, {}, 'now']),
  ...cases('qstash.flowControl', [null, 7, 'mails', [], new Map()]),
];
const REFUSED_WITHIN: Case[] = [
  ...cases('qstash.sweep.cron', BAD_CRONS).map(([argument, cron]): Case => [argument, { sweep: { cron } }]),
  ['qstash.sweep.corn', { sweep: { corn: '* * * * *' } }],
  ['qstash.flowControl', { flowControl: { '': { rate: 1 } } }],
  ['qstash.flowControl', { flowControl: { 'a\r\nb': { rate: 1 } } }],
  ['qstash.flowControl.mails', { flowControl: { mails: 5 } }],
  ['qstash.flowControl.mails', { flowControl: { mails: {} } }],
  ['qstash.flowControl.mails.paralelism', { flowControl: { mails: { paralelism: 5 } } }],
  ...cases('qstash.flowControl.mails.parallelism', BAD_COUNTS).map(([argument, parallelism]): Case => [
    argument,
    { flowControl: { mails: { parallelism } } },
  ]),
  ...cases('qstash.flowControl.mails.rate', BAD_COUNTS).map(([argument, rate]): Case => [argument, { flowControl: { mails: { rate } } }]),
  ...cases('qstash.flowControl.mails.period', [null, -1, 0, 500, '1500ms', 'soon', {}]).map(([argument, period]): Case => [
    argument,
    { flowControl: { mails: { rate: 1, period } } },
  ]),
  ['qstash.flowControl.mails.period', { flowControl: { mails: { parallelism: 1, period: '1s' } } }],
  ['qstash.tokne', { tokne: 'x' }],
  ['qstash.__proto__', JSON.parse('{"__proto__": 1}')],
  ...cases('qstash', [null, 7, 'on', []]),
];

function expectRefused(argument: string, qstash: unknown): void {
  const error = refusal(() => settingsOf(qstash));
  expect(error).toBeInstanceOf(InvalidInputError);
  expect(error.argument).toContain(argument);
  expect(error.message).not.toContain(SECRET);
  expect(error.message.length).toBeLessThan(400);
}

describe('a bad option', () => {
  it.each(refused.map(shown))('is refused by name, without a secret in the error: %s: %s', (argument, _, value) =>
    expectRefused(argument, { [argument.replace('qstash.', '')]: value }),
  );
  it.each(REFUSED_WITHIN.map(shown))('is refused by name inside another option: %s: %s', (argument, _, qstash) =>
    expectRefused(argument, qstash),
  );

  it('is refused by name when it is a bad transport', () => {
    for (const transport of ['push', 'QSTASH', '', null, true, ['qstash']])
      expect(refusal(() => settingsOf({}, ENVIRONMENT, { transport })).argument).toBe('transport');
  });

  it('is refused by name when it is qstash with a transport that does not use QStash', () => {
    for (const transport of ['poll', undefined])
      expect(refusal(() => settingsOf({}, ENVIRONMENT, { transport }))).toMatchObject({ code: 'INVALID_INPUT', argument: 'qstash' });
  });

  it('is refused by name when it is a bad http.qstash', () => {
    for (const qstash of [null, 'yes', 1, {}, { guards: [] }])
      expect(refusal(() => WorkflowModule.forRoot({ http: { qstash } as object }))).toMatchObject({ argument: 'http.qstash' });
  });

  it('is refused by name, without a secret in the error, when its getter throws', () => {
    const options = {
      get token(): string {
        throw new Error(SECRET);
      },
    };
    expectRefused('qstash.token', options);
  });
});

describe('the environment of QStash', () => {
  it('provides values that the options lack, and is not read for values that they have', () => {
    expect(settingsOf(undefined)).toMatchObject({ token: 'token', keys: { current: 'sig_1', next: 'sig_2' } });
    const given = settingsOf({ token: 'mine', nextSigningKey: 'mine' }, { ...ENVIRONMENT, QSTASH_TOKEN: 'bad one' });
    expect(given).toMatchObject({ token: 'mine', keys: { current: 'sig_1', next: 'mine' } });
  });

  it.each([
    ['qstash.token', 'QSTASH_TOKEN'],
    ['qstash.targetUrl', 'QSTASH_TARGET_URL'],
  ])('is refused by the name of the variable when %s is missing or empty', (argument, variable) => {
    for (const value of [undefined, '']) {
      const error = refusal(() => settingsOf({}, { ...ENVIRONMENT, [variable]: value }));
      expect(error).toMatchObject({ code: 'INVALID_INPUT', argument });
      expect(error.message).toContain(variable);
    }
  });

  it('counts empty keys and an empty address of the API as missing', () => {
    const environment = { ...ENVIRONMENT, QSTASH_CURRENT_SIGNING_KEY: '', QSTASH_NEXT_SIGNING_KEY: '', QSTASH_URL: '' };
    expect(settingsOf({}, environment)).toMatchObject({ keys: undefined, apiUrl: 'https://qstash.upstash.io' });
  });

  it.each(['QSTASH_TOKEN', 'QSTASH_CURRENT_SIGNING_KEY', 'QSTASH_NEXT_SIGNING_KEY', 'QSTASH_URL', 'QSTASH_TARGET_URL'])(
    'is refused by the name of the variable, without the value, when %s is bad',
    (variable) => {
      const error = refusal(() => settingsOf({}, { ...ENVIRONMENT, [variable]: `${SECRET}\n` }));
      expect(error).toBeInstanceOf(InvalidInputError);
      expect(error.message).toContain(variable);
      expect(error.message).not.toContain(SECRET);
    },
  );
});

describe('good options of QStash', () => {
  it.each([
    ['https://shop.example', 'https://shop.example'],
    ['https://shop.example/', 'https://shop.example'],
    ['https://shop.example///', 'https://shop.example'],
    ['HTTPS://Shop.Example:443/Api/', 'https://shop.example/Api'],
    ['https://shop.example/?', 'https://shop.example'],
    ['http://[::1]:3000', 'http://[::1]:3000'],
    ['https://bücher.example', 'https://xn--bcher-kva.example'],
    [' https://shop.example\n', 'https://shop.example'],
  ])('may have the target URL %j, which becomes %s', (targetUrl, base) => {
    const { deliveryUrl, sweepUrl } = settingsOf({ targetUrl });
    expect([deliveryUrl, sweepUrl]).toEqual([`${base}/workflow/qstash`, `${base}/workflow/qstash/sweep`]);
  });

  it.each(['* * * * *', '*/5 0-6 1,15 JAN-MAR MON', 'CRON_TZ=Europe/Paris 0 9 * * 1-5', ' 0  9 * * * '])(
    'may have the schedule %j',
    (cron) => {
      expect(settingsOf({ sweep: { cron } }).sweepCron).toBe(cron.trim());
    },
  );

  it('have a time budget that leaves time for the answer within a request', () => {
    expect(settingsOf({ deliveryTimeout: '10s' })).toMatchObject({ deliveryTimeoutMs: 10_000, timeBudgetMs: 8_000 });
    expect(settingsOf({ deliveryTimeout: 3_000, timeBudget: 0 })).toMatchObject({ timeBudgetMs: 0 });
    expect(settingsOf({})).toMatchObject({ deliveryTimeoutMs: 60_000, timeBudgetMs: 20_000 });
  });

  it('may have flow control for a queue of any name', () => {
    const flowControl = JSON.parse('{"mails":{"parallelism":5},"__proto__":{"rate":10,"period":"1m"},"ä b":{"rate":1}}') as object;
    const { flow } = settingsOf({ flowControl });
    expect(flow['mails']).toEqual({ parallelism: 5 });
    expect(flow['__proto__']).toEqual({ rate: 10, periodSeconds: 60 });
    expect(flow['ä b']).toEqual({ rate: 1 });
    expect(flow['constructor']).toBeUndefined();
  });
});

describe('production', () => {
  const production = { ...ENVIRONMENT, NODE_ENV: 'production' };

  it.each(['true', '1', 'yes', ' '])('refuses QSTASH_DEV=%j, even when keys are given', (value) => {
    const environment = { ...production, QSTASH_DEV: value };
    const given = { token: 't', currentSigningKey: 'a', nextSigningKey: 'b' };
    for (const qstash of [undefined, given]) {
      const error = refusal(() => settingsOf(qstash, environment));
      expect(error).toBeInstanceOf(WorkflowConfigurationError);
      expect(error.message).toContain('QSTASH_DEV');
    }
    expect(refusal(() => settingsOf({}, environment, { worker: false }))).toBeInstanceOf(WorkflowConfigurationError);
  });

  it.each(['', '0', 'false'])('accepts QSTASH_DEV=%j as off, like the SDK of QStash', (value) => {
    expect(settingsOf({}, { ...production, QSTASH_DEV: value }).keys).toBeDefined();
  });

  it.each([
    ['both keys', { QSTASH_CURRENT_SIGNING_KEY: '', QSTASH_NEXT_SIGNING_KEY: '' }],
    ['the current key', { QSTASH_CURRENT_SIGNING_KEY: '' }],
    ['the next key', { QSTASH_NEXT_SIGNING_KEY: '' }],
  ])('refuses a process that receives deliveries without %s, and accepts one that only starts runs', (_, missing) => {
    const environment = { ...production, ...missing };
    for (const transport of ['qstash', 'both']) {
      const error = refusal(() => settingsOf({}, environment, { transport }));
      expect(error).toBeInstanceOf(WorkflowConfigurationError);
      expect(error.message).toMatch(/QSTASH_CURRENT_SIGNING_KEY.*QSTASH_NEXT_SIGNING_KEY/);
      expect(error.message).not.toMatch(/sig_[12]|token/);
    }
    expect(settingsOf({}, environment, { worker: false }).keys).toBeUndefined();
    expect(toSettings({ transport: 'qstash' }, environment, { path: 'workflow', qstash: false }).qstash!.keys).toBeUndefined();
  });
});
