// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import { currentStep, Step, Workflow, type CompensatedStep, type WorkflowContext } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

interface Order {
  id: number;
}

interface Charge {
  id: string;
}

@Workflow({ name: 'compensated', compensation: 'parallel' })
export class Compensated {
  async run(order: Order, ctx: WorkflowContext): Promise<string> {
    // A step with a compensation keeps its type.
    const charged = await this.charge(order, 5);
    exactly<typeof charged, Charge>(true);
    const seat = await ctx.step('seat', { compensate: (output) => exactly<typeof output, { seat: string }>(true) }, () => ({ seat: '1A' }));
    exactly<typeof seat, { seat: string }>(true);
    await ctx.step(
      'tried',
      { compensate: (output) => exactly<typeof output, number | undefined>(true), compensateOn: 'attempted', timeout: '1s' },
      () => 5,
    );
    // @ts-expect-error -- the compensation gets a number
    await ctx.step('wrong', { compensate: (output: string) => output }, () => 5);
    // @ts-expect-error -- an attempted step may have no output
    await ctx.step('tried', { compensate: (output: number) => output, compensateOn: 'attempted' }, () => 5);
    // @ts-expect-error -- nothing undoes the step
    await ctx.step('alone', { compensateOn: 'attempted' }, () => 5);
    const value = await ctx.saga(async () => 'value');
    exactly<typeof value, string>(true);
    await ctx.invoke(Compensated, order, { compensate: (output) => exactly<typeof output, string>(true) });
    await ctx.invokeMany(Compensated, [order], { compensate: (output) => exactly<typeof output, string>(true) });
    // @ts-expect-error -- the child returns a text
    await ctx.invoke(Compensated, order, { compensate: (output: number) => output });
    exactly<ReturnType<typeof currentStep>['compensates'], CompensatedStep | undefined>(true);
    return value;
  }

  @Step({ compensate: 'refund' })
  async charge(_order: Order, _amount: number): Promise<Charge> {
    return { id: '1' };
  }

  async refund(_charge: Charge, _order: Order, _amount: number): Promise<void> {}

  @Step({ compensate: 'refundByLess', retry: { maxAttempts: 5 }, key: (order: Order) => String(order.id) })
  async chargeForLess(_order: Order): Promise<Charge> {
    return { id: '1' };
  }

  async refundByLess({ id }: { id: string }): Promise<string> {
    return id;
  }

  @Step({ compensate: 'refundTried', compensateOn: 'attempted', timeout: '5s' })
  async chargeTried(_order: Order): Promise<Charge> {
    return { id: '1' };
  }

  async refundTried(_charge: Charge | undefined, _order: Order): Promise<void> {}

  @Step({ compensate: 'release' })
  async reserve(_item: string): Promise<void> {}

  async release(_nothing: undefined, _item: string): Promise<void> {}

  // @ts-expect-error -- an attempted step may have no output
  @Step({ compensate: 'refund', compensateOn: 'attempted' })
  async chargeAttempted(_order: Order, _amount: number): Promise<Charge> {
    return { id: '1' };
  }

  // @ts-expect-error -- misspelt
  @Step({ compensate: 'refnud' })
  async chargeMisspelt(_order: Order, _amount: number): Promise<Charge> {
    return { id: '1' };
  }

  // @ts-expect-error -- the refund expects another output
  @Step({ compensate: 'refund' })
  async chargeOfAnotherOutput(_order: Order, _amount: number): Promise<number> {
    return 1;
  }

  // @ts-expect-error -- the refund expects another argument
  @Step({ compensate: 'refund' })
  async chargeOfOtherArguments(_order: string, _amount: number): Promise<Charge> {
    return { id: '1' };
  }

  // @ts-expect-error -- a private method is not part of the class's type
  @Step({ compensate: 'hidden' })
  async chargeHidden(_order: Order): Promise<Charge> {
    return { id: '1' };
  }

  private async hidden(_charge: Charge): Promise<void> {}

  // @ts-expect-error -- no method
  @Step({ compensate: 'limit' })
  async chargeByField(_order: Order): Promise<Charge> {
    await this.hidden({ id: '1' });
    return { id: '1' };
  }

  readonly limit = 5;
}

// @ts-expect-error -- no order of compensations
@Workflow({ name: 'order', compensation: 'random' })
export class OfUnknownOrder {
  async run(): Promise<void> {}
}
