import { Injectable } from '@nestjs/common';
import { currentStep, Step, Workflow, type WorkflowContext } from 'nestjs-durable';

export interface Expense {
  employee: string;
  euros: number;
}

export interface Decision {
  approved: boolean;
  by: string;
}

export interface Mail {
  to: string;
  subject: string;
  /** Token that resumes the run with the answer: `client.resumeHook(token, decision)`. */
  token: string;
}

/** Stands for a mail server. */
@Injectable()
export class Mailer {
  onMail: (mail: Mail) => void = () => undefined;

  @Step()
  async send(mail: Mail): Promise<void> {
    // A body may be executed again after a crash. A real mail server would get this key, and
    // recognise the repetition.
    console.log(`  mail to ${mail.to}: ${mail.subject}   (${currentStep().idempotencyKey})`);
    this.onMail(mail);
  }
}

/**
 * Asks for approval, sends reminders, and continues when the answer arrives. It may wait for days;
 * a run that only waits holds no slot, no connection and no memory.
 */
@Workflow({ name: 'expense' })
export class ExpenseWorkflow {
  constructor(private readonly mailer: Mailer) {}

  async run(expense: Expense, ctx: WorkflowContext): Promise<string> {
    const { employee, euros } = expense;
    const hook = await ctx.hook<Decision>();
    await this.mailer.send({ to: 'boss', subject: `may ${employee} spend ${euros} euros?`, token: hook.token });
    for (let reminders = 1; reminders <= 3; reminders++) {
      // The race withdraws its loser, so that no answer goes to a wait that the code has abandoned.
      const first = await ctx.race({ answer: () => hook.wait(), late: () => ctx.sleep('1s') });
      if (first.key === 'answer') return this.conclude(expense, first.value);
      await this.mailer.send({ to: 'boss', subject: `reminder ${reminders}: ${employee} still waits`, token: hook.token });
    }
    return `nobody decided about the ${euros} euros of ${employee}`;
  }

  @Step()
  async conclude({ employee, euros }: Expense, { approved, by }: Decision): Promise<string> {
    return `${by} ${approved ? 'approved' : 'declined'} the ${euros} euros of ${employee}`;
  }
}
