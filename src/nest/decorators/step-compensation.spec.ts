import { describe, expect, it } from '@jest/globals';

import { InvalidInputError, WorkflowConfigurationError } from '../../core/errors/index.js';
import { workflowIdentityOf } from '../../core/workflow-metadata.js';
import { Step, Workflow } from './decorators.js';

/** Applies `@Step` with these options to a method of a class, as the compiler does. */
function declare(options: object): () => void {
  class Payments {
    readonly field = async (): Promise<void> => undefined;
    async charge(): Promise<string> {
      return 'charged';
    }
    async refund(): Promise<void> {}
  }
  const descriptor = Object.getOwnPropertyDescriptor(Payments.prototype, 'charge')!;
  return () => Step(options)(Payments.prototype, 'charge', descriptor);
}

describe('@Step with a compensation', () => {
  it('accepts a method of the class', () => {
    expect(declare({ compensate: 'refund' })).not.toThrow();
    expect(declare({ compensate: 'refund', compensateOn: 'completed', timeout: '5s' })).not.toThrow();
  });

  it('refuses a name that is no method of the class, when the class is loaded', () => {
    for (const compensate of ['refnud', 'field']) {
      expect(declare({ compensate })).toThrow(WorkflowConfigurationError);
      expect(declare({ compensate })).toThrow(
        `@Step() on Payments.charge: compensate names "${compensate}", which is no method of the class`,
      );
    }
  });

  it('refuses a timeout without compensateOn, because a step that has timed out may have done its work', () => {
    expect(declare({ compensate: 'refund', timeout: '5s' })).toThrow(InvalidInputError);
    expect(declare({ compensate: 'refund', timeout: '5s' })).toThrow('Payments.charge.compensateOn is required with timeout');
  });

  it('names options that are invalid', () => {
    expect(declare({ compensate: () => undefined })).toThrow('Payments.charge.compensate must be the name of a method');
    expect(declare({ compensateOn: 'attempted' })).toThrow('Payments.charge.compensateOn needs compensate');
    expect(declare({ compensate: 'refund', compensateOn: 'failed' })).toThrow(`compensateOn must be 'completed' or 'attempted'`);
  });
});

describe('@Workflow', () => {
  it('refuses an unknown order of compensations', () => {
    class Order {
      async run(): Promise<void> {}
    }
    Workflow({ name: 'order', compensation: 'random' as 'serial' })(Order);
    expect(() => workflowIdentityOf(Order)).toThrow(`compensation must be 'serial' or 'parallel'`);
  });
});
