import { describe, expect, it } from '@jest/globals';

import { NonRetryableError, RetryableError, StepFailedError, StepTimeoutError, WorkflowFailedError } from './errors/index.js';
import { failureOf } from './failure.js';
import { decodeError, encodeError } from './serializer/index.js';

class CardDeclined extends Error {
  readonly code = 'CARD_DECLINED';
}
class OutOfStock extends Error {}
class Stolen extends NonRetryableError {}

const coded = (code: unknown, cause?: unknown): Error => Object.assign(new Error('coded', { cause }), { code });
const step = (cause: unknown, key = 'charge'): Error => new StepFailedError(key, 3, cause);

const steps = new Map([
  ['charge', 'charge'],
  ['charge#2', 'charge'],
  ['ship:a:b', 'ship'],
]);

describe('failureOf', () => {
  it.each<[what: string, thrown: unknown, code: string, step: string | null]>([
    ['an error with a code', new CardDeclined(), 'CARD_DECLINED', null],
    ['an error without a code: the name of its class', new OutOfStock(), 'OutOfStock', null],
    ['a native error', new TypeError('x'), 'TypeError', null],
    ['a number as code', coded(11_000), '11000', null],
    ['an empty code', coded(''), 'Error', null],
    ['an object as code', coded({ a: 1 }), 'Error', null],
    ['a failed step: the code of its cause', step(new CardDeclined()), 'CARD_DECLINED', 'charge'],
    ['a repeated call of a step', step(new OutOfStock(), 'charge#2'), 'OutOfStock', 'charge'],
    ['a step with a key', step(new OutOfStock(), 'ship:a:b'), 'OutOfStock', 'ship'],
    ['a step that timed out', step(new StepTimeoutError('charge', 5)), 'STEP_TIMEOUT', 'charge'],
    ['the application’s error, not the error that it wraps', step(coded('PAYMENT', coded('ECONNREFUSED'))), 'PAYMENT', 'charge'],
    [
      'the name of the application’s error, not the code of the error that it wraps',
      step(new OutOfStock('x', { cause: coded('X') })),
      'OutOfStock',
      'charge',
    ],
    ['an error of run() that wraps a failed step', new OutOfStock('x', { cause: step(new CardDeclined()) }), 'OutOfStock', 'charge'],
    ['NonRetryableError without a cause', new NonRetryableError('no'), 'NON_RETRYABLE', null],
    ['NonRetryableError around another', step(new NonRetryableError('no', { cause: new CardDeclined() })), 'CARD_DECLINED', 'charge'],
    ['RetryableError around another', step(new RetryableError('later', { cause: coded(429) })), '429', 'charge'],
    ['a subclass of NonRetryableError', step(new Stolen('no', { cause: coded('X') })), 'Stolen', 'charge'],
    ['another run that failed', step(new WorkflowFailedError('r', step(new CardDeclined(), 'ship:a:b'))), 'CARD_DECLINED', 'charge'],
    ['another run that failed, outside of steps', new WorkflowFailedError('r', step(new CardDeclined())), 'CARD_DECLINED', null],
    ['a failed step of another run', step(new CardDeclined(), 'unknown'), 'CARD_DECLINED', null],
    ['a text', 'just text', 'NonError', null],
    ['a text thrown by a step', step('just text'), 'STEP_FAILED', 'charge'],
    ['an object with a code', { code: 'X' }, 'X', null],
    ['an object with a code thrown by a step', step({ code: 'X' }), 'X', 'charge'],
    ['undefined', undefined, 'NonError', null],
    ['a code with characters that no column accepts', coded('a\u0000b\nc\ud800'), 'a b c\ufffd', null],
    ['a code of a megabyte', coded('x'.repeat(255) + 'y'.repeat(10_000)), 'x'.repeat(255), null],
  ])('finds code and step of %s', (_, thrown, code, name) => {
    expect(failureOf(decodeError(encodeError(thrown)), (key) => steps.get(key))).toEqual({ code, step: name });
  });

  it('finds a code despite getters that throw and endless chains of causes', () => {
    const throwing = {
      get code(): never {
        throw new Error('hostile');
      },
    };
    const endless = {
      name: 'StepFailedError',
      code: 'STEP_FAILED',
      get cause(): unknown {
        return endless;
      },
    };
    expect(failureOf(step(throwing), (key) => steps.get(key))).toEqual({ code: 'NonError', step: 'charge' });
    expect(failureOf(endless, () => undefined)).toEqual({ code: 'STEP_FAILED', step: null });
  });
});
