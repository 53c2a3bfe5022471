import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { WarningLimiter } from './warning-limiter.js';

describe('WarningLimiter', () => {
  const lines: string[] = [];
  let limiter: WarningLimiter;
  beforeEach(() => {
    limiter = new WarningLimiter((line) => lines.push(line));
  });
  afterEach(() => {
    limiter.close();
    lines.length = 0;
  });

  it('writes one line of a kind, and later how many more of the kind it has left out', async () => {
    for (let n = 0; n < 100; n++) limiter.limit('refused', `refused ${n}`, 200);
    limiter.limit('other', 'other', 200);
    expect(lines).toEqual(['refused 0', 'other']);
    await waitFor(() => lines.length === 3);
    expect(lines[2]).toBe('refused 0 (99 more like this in the last 0 s)');
    limiter.limit('refused', 'refused again', 200);
    expect(lines[3]).toBe('refused again');
  });

  it('distinguishes workflows and steps, but not runs, keys and counts', () => {
    const open = (run: string, step: string, count = 1) =>
      `run "${run}" (order): run() ended while step "${step}" had no result, ${count} later`;
    limiter.warn(open('a', 'audit:7'), undefined, 'once a minute');
    limiter.warn(open('b', 'audit:8#2', 2), undefined, 'once a minute');
    limiter.warn(open('c', 'mail'), undefined, 'once a minute');
    limiter.warn(open('d', 'mail').replace('order', 'refund'), undefined, 'once a minute');
    expect(lines).toEqual([open('a', 'audit:7'), open('c', 'mail'), open('d', 'mail').replace('order', 'refund')]);
  });

  it('distinguishes no counts that are fields', () => {
    for (const count of [3, 4]) limiter.warn(`qstash: refused ${count} wake-ups of 7`, undefined, 'once a minute', { count });
    expect(lines).toEqual(['qstash: refused 3 wake-ups of 7']);
  });

  it('remembers a bounded number of kinds', () => {
    for (let n = 0; n < 10_000; n++) limiter.limit(`kind ${n}`, `kind ${n}`, 60_000);
    expect(lines).toHaveLength(501);
  });

  it('writes nothing after it was closed', async () => {
    limiter.limit('before', 'before', 20);
    limiter.limit('before', 'before', 20);
    limiter.close();
    limiter.limit('after', 'after', 20);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(lines).toEqual(['before']);
  });
});
