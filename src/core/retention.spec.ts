import { describe, expect, it } from '@jest/globals';

import { InvalidInputError } from './errors/index.js';
import { checkRetention } from './retention.js';

describe('checkRetention', () => {
  it('accepts times from 1 minute to a hundred years', () => {
    expect(checkRetention({ completed: '1 minute', failed: 60_000, cancelled: '100y' }, 'retention')).toEqual({
      completed: 60_000,
      failed: 60_000,
      cancelled: 100 * 365.25 * 86_400_000,
    });
  });

  it.each<[string | number]>([[-1], [0], ['59s'], [59_999], ['101y']])('refuses %p, and names both limits', (completed) => {
    const refuse = (): unknown => checkRetention({ completed }, 'retention');
    const shown = typeof completed === 'string' ? JSON.stringify(completed) : String(completed);
    expect(refuse).toThrow(InvalidInputError);
    expect(refuse).toThrow(`retention.completed must be from 1 minute to a hundred years, not ${shown}`);
  });
});
