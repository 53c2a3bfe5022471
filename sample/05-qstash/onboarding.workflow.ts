import { Injectable } from '@nestjs/common';
import { currentStep, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

export interface Customer {
  name: string;
  mail: string;
}

/** Stands for the systems that an onboarding uses. */
@Injectable()
export class Systems {
  /** Executions of each step's body, by its idempotency key. */
  readonly executions = new Map<string, number>();

  @Step()
  async createAccount({ name }: Customer): Promise<string> {
    return this.did(`account-of-${name}`);
  }

  @Step()
  async createWorkspace(account: string): Promise<string> {
    return this.did(`workspace-of-${account}`);
  }

  @Step()
  async importExamples(_workspace: string): Promise<number> {
    return this.did(12);
  }

  @Step()
  async countLogins(_account: string): Promise<number> {
    return this.did(3);
  }

  @Step()
  async chooseTips(logins: number): Promise<string[]> {
    return this.did(logins > 2 ? ['invite your team', 'connect your calendar'] : ['log in again']);
  }

  @Step()
  async closeOnboarding(_account: string): Promise<void> {
    this.did(undefined);
  }

  @Step()
  async sendMail(to: string, subject: string): Promise<void> {
    console.log(`  mail to ${to}: ${subject}`);
    // A real mail server would get the idempotency key, and recognise a repetition after a crash.
    this.did(undefined);
  }

  private did<T>(result: T): T {
    const { idempotencyKey } = currentStep();
    this.executions.set(idempotencyKey, (this.executions.get(idempotencyKey) ?? 0) + 1);
    return result;
  }
}

/**
 * Runs eight steps with a sleep between them. During the sleep the application may be frozen or
 * ended.
 */
@Workflow({ name: 'onboarding' })
export class OnboardingWorkflow {
  constructor(private readonly systems: Systems) {}

  async run(customer: Customer, ctx: WorkflowContext): Promise<string> {
    const { systems } = this;
    const account = await systems.createAccount(customer);
    const workspace = await systems.createWorkspace(account);
    const examples = await systems.importExamples(workspace);
    await systems.sendMail(customer.mail, `welcome, ${customer.name}: ${examples} examples wait for you`);
    await ctx.sleep('2s'); // '3 days' changes nothing else
    const logins = await systems.countLogins(account);
    const tips = await systems.chooseTips(logins);
    await systems.sendMail(customer.mail, `${customer.name}, ${tips.join(' and ')}`);
    await systems.closeOnboarding(account);
    return `${customer.name} logged in ${logins} times`;
  }
}
