import { describe, expect, it } from '@jest/globals';

import { dispatchKeyText, type DispatchKey } from './run.js';
import { servedHint, ServedKeys } from './served.js';

const key = (name: string, version = 1, queue = 'default'): DispatchKey => ({ queue, name, version });
const SERVED = [key('order', 2), key('order', 3), key('order', 0), key('invoice', 1, 'mails')].map(dispatchKeyText);

describe('servedHint', () => {
  const cases: [string, DispatchKey, string | undefined][] = [
    ['the versions that live workers have, for a version without a worker', key('order', 1), 'live workers execute version 2, 3'],
    ['the queue from which live workers execute a version', key('order', 2, 'prio'), 'live workers execute it from queue "default"'],
    ['the queue of the workflow, for a run that was started by name', key('invoice', 0), 'live workers execute it from queue "mails"'],
    ['a similar name, for a missing letter', key('oder', 0), 'the name resembles "order"'],
    ['a similar name, for swapped letters', key('invocie', 0), 'the name resembles "invoice"'],
    ['a similar name, for another case', key('Order', 0), 'the name resembles "order"'],
    ['nothing, for an unrelated name', key('refund'), undefined],
    ['nothing, for an unrelated short name', key('odd'), undefined],
  ];
  it.each(cases)('returns %s', (_, run, expected) => {
    expect(servedHint(run, SERVED)?.reason).toBe(expected);
  });

  const remedies: [string, DispatchKey, string][] = [
    ['a version', key('order', 1), 'Deploy "order" version 1 as well'],
    ['a queue', key('order', 2, 'prio'), 'Correct the queue, or add "prio" to `worker.queues`'],
    ['a name', key('oder', 0), 'Correct the name, or deploy a workflow named "oder"'],
  ];
  it.each(remedies)('says what to do about %s without a worker', (_, run, expected) => {
    expect(servedHint(run, SERVED)?.remedy).toBe(expected);
  });

  it('lists three versions and the number of the others when live workers serve many', () => {
    const many = Array.from({ length: 1_000 }, (_, n) => dispatchKeyText(key('order', n + 1)));
    expect(servedHint(key('order', 5_000), many)?.reason).toBe('live workers execute version 1, 2, 3 and 997 more');
    expect(servedHint(key('x'.repeat(240)), [dispatchKeyText(key('y'.repeat(240)))])).toBeUndefined();
  });
});

it('ServedKeys finds exactly the dispatch keys of the last update', () => {
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
