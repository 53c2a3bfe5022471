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

describe('an error whose properties cannot be read', () => {
  it('is not one of our errors, and the check does not throw', () => {
    expect((trap as unknown) instanceof NonRetryableError).toBe(false);
  });

  it('may lack a prototype', () => {
    expect(new StepFailedError('charge', 1, Object.create(null)).message).toContain('cannot be read');
  });

  it('can be the cause of a failed step', () => {
    expect(new StepFailedError('charge', 1, trap).message).toContain('cannot be read');
  });
});
