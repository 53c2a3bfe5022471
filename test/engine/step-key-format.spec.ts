import 'reflect-metadata';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { InvalidInputError } from '../../src/core/errors/index.js';
import {
  checkStepKey,
  compensationOf,
  escapeStepText,
  firstStepKey,
  numberedStepKey,
  showStepKey,
  stepLabelOf,
} from '../../src/core/step-key-format.js';
import { Step } from '../../src/nest/decorators/decorators.js';
import { StepKeys } from '../../src/engine/step-keys.js';
import { execute } from './harness.js';
import { useVirtualTime } from './virtual-time.js';

useVirtualTime();

const DATA = [
  'PO#12',
  '#7',
  'item #3',
  '$10 voucher',
  '10% off',
  '100%25',
  'line\nbreak',
  'tab\t',
  '\0',
  '\u202eevil',
  '\ud800',
  ' lead',
  'a:b',
  'naïve ☃',
  '$',
  '%',
];

class Payments {
  @Step({ name: 'mail #2' })
  async mail(): Promise<string> {
    return 'mailed';
  }
  @Step({ key: (reference: string) => reference })
  async pay(reference: string): Promise<string> {
    return reference;
  }
}
const payments = new Payments();

describe('names and keys of steps', () => {
  it('accept any text of business data, wherever the process crashes', async () => {
    for (const crashAt of [0, 3, 20]) {
      const { run, ending } = await execute(
        async (ctx) => {
          const seen = [await payments.mail(), await payments.mail()];
          for (const each of DATA) {
            seen.push(await payments.pay(each), await ctx.step(each, () => each), await ctx.step('pay by hand', { key: each }, () => each));
          }
          return seen;
        },
        { self: payments, crashes: (count) => count === crashAt },
      );
      expect(ending).toEqual({ status: 'completed', output: ['mailed', 'mailed', ...DATA.flatMap((each) => [each, each, each])] });
      // oxlint-disable-next-line no-control-regex -- what must not be there
      for (const key of run.keys) expect(key).not.toMatch(/[\u0000-\u001f\u202e]|\p{Surrogate}/u);
      expect(run.keys).toEqual(
        expect.arrayContaining(['mail %232', 'mail %232#2', 'pay:PO%2312', '%2410 voucher', 'line%0Abreak', '10% off']),
      );
    }
  });

  it('never map two texts to one key', () => {
    const text = fc.oneof(
      fc.constantFrom(...DATA, 'a', 'a#2', 'a#3', 'a%232', 'a%23'),
      fc.string({ minLength: 1, unit: fc.constantFrom('a', '#', '2', '%', '3', '$') }),
    );
    fc.assert(
      fc.property(text, text, (one, other) => {
        expect(escapeStepText(one, 'x') === escapeStepText(other, 'x')).toBe(one === other);
      }),
    );
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 20 }), (names) => {
        const calls = new Map<string, unknown>();
        const keys = new StepKeys(calls);
        for (const name of names) calls.set(keys.next(name, undefined), name);
        expect(calls.size).toBe(names.length);
      }),
    );
  });

  it('are shown as they were written, unless that is ambiguous', async () => {
    expect(['pay:PO%2312', '%2410', 'line%0Abreak', '10% off', '100%2525'].map(showStepKey)).toEqual([
      'pay:PO#12',
      '$10',
      'line%0Abreak',
      '10% off',
      '100%25',
    ]);
    const { ending } = await execute((ctx) =>
      ctx.step('pay', { key: 'PO#12', retry: { maxAttempts: 1 } }, () => Promise.reject(new Error('no'))),
    );
    expect((ending as { error: Error }).error.message).toContain('"pay:PO#12"');
  });

  it.each([[''], ['x'.repeat(256)], [undefined], [7]])('are refused when they cannot be stored: %p', (text) => {
    expect(() => escapeStepText(text, 'key')).toThrow(InvalidInputError);
  });

  it('are accepted from an operator at any length that a step or its compensation can have', () => {
    const longest = firstStepKey(`${'\0'.repeat(144)}${'x'.repeat(111)}`, 'x'.repeat(255));
    expect(longest).toHaveLength(799);
    const compensation = compensationOf(numberedStepKey(longest, 1_000_000));
    expect(checkStepKey(compensation, 'stepKey')).toBe(compensation);
    expect(() => checkStepKey('x'.repeat(900), 'stepKey')).toThrow(InvalidInputError);
  });
});

describe('names of steps in metrics', () => {
  it.each(['charge', 'charge#2', 'charge:item-7', 'charge:item#7'])('leave out what distinguishes the call %s', (stepKey) => {
    expect(stepLabelOf(stepKey)).toBe('charge');
    expect(stepLabelOf(compensationOf(stepKey))).toBe('$compensate:charge');
  });
});
