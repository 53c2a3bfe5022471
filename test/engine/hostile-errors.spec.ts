import { describe, expect, it } from '@jest/globals';

import { NonRetryableError, StepFailedError } from '../../src/core/errors/index.js';

const trap = new Proxy(new Error('p'), {
  get() {
    throw new Error('trap');
  },
  getPrototypeOf() {
    throw new Error('trap');
  },
});

describe('an error that cannot be looked at', () => {
  it('is no error of ours, and asking does not throw', () => {
    expect((trap as unknown) instanceof NonRetryableError).toBe(false);
  });

  it('need not even have a prototype', () => {
    expect(new StepFailedError('charge', 1, Object.create(null)).message).toContain('cannot be read');
  });

  it('can be the cause of a failed step', () => {
    expect(new StepFailedError('charge', 1, trap).message).toContain('cannot be read');
  });
});
