import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { WarningLimiter } from './warning-limiter.js';

const entry = (kind: string, line: string) => ({ kind, line, level: 'warn', fields: { code: 'claim-failed' } }) as const;

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
    for (let n = 0; n < 100; n++) limiter.limit(entry('refused', `refused ${n}`), 200);
    limiter.limit(entry('other', 'other'), 200);
    expect(lines).toEqual(['refused 0', 'other']);
    await waitFor(() => lines.length === 3);
    expect(lines[2]).toMatch(/^refused 0 \(99 more like this in the last \d+ s\)$/);
    limiter.limit(entry('refused', 'refused again'), 200);
    expect(lines[3]).toBe('refused again');
  });

  it('distinguishes workflows and steps, but not runs, keys and counts', () => {
    const open = (run: string, step: string, count = 1) =>
      `run "${run}" (order): run() ended while step "${step}" had no result, ${count} later`;
    limiter.warn(open('a', 'audit:7'), undefined, 'once a minute', { code: 'open-steps' });
    limiter.warn(open('b', 'audit:8#2', 2), undefined, 'once a minute', { code: 'open-steps' });
    limiter.warn(open('c', 'mail'), undefined, 'once a minute', { code: 'open-steps' });
    limiter.warn(open('d', 'mail').replace('order', 'refund'), undefined, 'once a minute', { code: 'open-steps' });
    expect(lines).toEqual([open('a', 'audit:7'), open('c', 'mail'), open('d', 'mail').replace('order', 'refund')]);
  });

  it('distinguishes no runs that the text names', () => {
    for (const id of ['a', 'b'])
      limiter.warn(`database: the server refuses to change run "${id}"`, undefined, 'every 5 s', { code: 'run-unwritable', runId: id });
    expect(lines).toEqual(['database: the server refuses to change run "a"']);
  });

  it('distinguishes no counts that are fields', () => {
    for (const count of [3, 4])
      limiter.warn(`qstash: refused ${count} wake-ups of 7`, undefined, 'once a minute', { code: 'qstash-wake-ups-refused', count });
    expect(lines).toEqual(['qstash: refused 3 wake-ups of 7']);
  });

  it('writes one error for each workflow whose runs are blocked, with its cause and the number of others', () => {
    const seen: unknown[] = [];
    const errors = new WarningLimiter((line, level, { workflow }, cause) => seen.push([level, line, workflow, cause]));
    const cause = new Error('does not fit');
    for (const workflow of ['order', 'refund'])
      for (let n = 0; n < 1_000; n++) errors.error(`run "${n}" is blocked`, cause, { code: 'run-blocked', workflow });
    errors.close();
    expect(seen).toEqual([
      ['error', 'run "0" is blocked', 'order', cause],
      ['error', 'run "0" is blocked', 'refund', cause],
    ]);
  });

  it('remembers a bounded number of kinds', () => {
    for (let n = 0; n < 10_000; n++) limiter.limit(entry(`kind ${n}`, `kind ${n}`), 60_000);
    expect(lines).toHaveLength(501);
  });

  it('writes nothing after it was closed', async () => {
    limiter.limit(entry('before', 'before'), 20);
    limiter.limit(entry('before', 'before'), 20);
    limiter.close();
    limiter.limit(entry('after', 'after'), 20);
    await new Promise((resolve) => setTimeout(resolve, 40));
    expect(lines).toEqual(['before']);
  });
});
