import { afterEach, describe, expect, it } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { WarningLimiter } from './warning-limiter.js';

describe('WarningLimiter', () => {
  const lines: string[] = [];
  const limiter = new WarningLimiter((line) => lines.push(line));
  afterEach(() => {
    limiter.close();
    lines.length = 0;
  });

  it('writes one line of a kind, and how many more came in its time', async () => {
    for (let n = 0; n < 100; n++) limiter.limit('refused', `refused ${n}`, 200);
    limiter.limit('other', 'other', 200);
    expect(lines).toEqual(['refused 0', 'other']);
    await waitFor(() => lines.length === 3);
    expect(lines[2]).toBe('refused 0 (99 more like this in the last 0 s)');
    limiter.limit('refused', 'refused again', 200);
    expect(lines[3]).toBe('refused again');
  });

  it('remembers a bounded number of kinds', () => {
    for (let n = 0; n < 10_000; n++) limiter.limit(`kind ${n}`, `kind ${n}`, 60_000);
    expect(lines).toHaveLength(501);
  });
});
