import { describe, expect, it } from '@jest/globals';

import { dispatchKeyText, type DispatchKey } from './run.js';
import { resembling, ServedKeys } from './served.js';

const key = (name: string, version = 1, queue = 'default'): DispatchKey => ({ queue, name, version });
const SERVED = [key('order', 2), key('order', 3), key('order', 0), key('invoice', 1, 'mails')].map(dispatchKeyText);

describe('a hint at why nobody executes a run', () => {
  const cases: [string, DispatchKey, string | undefined][] = [
    ['the version that is gone', key('order', 1), 'what is executed is version 2, 3'],
    ['the queue of a version', key('order', 2, 'prio'), 'it is executed from queue "default"'],
    ['the queue of a run that was started by name', key('invoice', 0), 'it is executed from queue "mails"'],
    ['a letter that is missing', key('oder', 0), 'the name resembles "order"'],
    ['letters that changed places', key('invocie', 0), 'the name resembles "invoice"'],
    ['another case', key('Order', 0), 'the name resembles "order"'],
    ['nothing for another name', key('refund'), undefined],
    ['nothing for another short name', key('odd'), undefined],
  ];
  it.each(cases)('names %s', (_, run, expected) => {
    expect(resembling(run, SERVED)).toBe(expected);
  });

  it('stays short and quick, however much is served', () => {
    const many = Array.from({ length: 1_000 }, (_, n) => dispatchKeyText(key('order', n + 1)));
    expect(resembling(key('order', 5_000), many)).toBe('what is executed is version 1, 2, 3 and 997 more');
    expect(resembling(key('x'.repeat(240)), [dispatchKeyText(key('y'.repeat(240)))])).toBeUndefined();
  });
});

it('keys that were served at the last look are told from others', () => {
  const keys = new ServedKeys();
  expect(keys.has(key('order', 2))).toBe(false);
  keys.replace(SERVED);
  expect([key('order', 2), key('order', 1), key('order', 2, 'prio'), key('refund')].map((each) => keys.has(each))).toEqual([
    true,
    false,
    false,
    false,
  ]);
});
