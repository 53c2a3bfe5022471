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
  /** Where the answer is to be sent: `client.resumeHook(token, decision)`. */
  token: string;
}

/** Stands for a mail server. */
@Injectable()
export class Mailer {
  onMail: (mail: Mail) => void = () => undefined;

  @Step()
  async send(mail: Mail): Promise<void> {
    // A body may be executed again after a crash: a real mail server would get this key, to recognise the second time.
    console.log(`  mail to ${mail.to}: ${mail.subject}   (${currentStep().idempotencyKey})`);
    this.onMail(mail);
  }
}

/** Asks for approval, reminds, and goes on when the answer comes; in between it may wait for days, and costs nothing. */
@Workflow({ name: 'expense' })
export class ExpenseWorkflow {
  constructor(private readonly mailer: Mailer) {}

  async run(expense: Expense, ctx: WorkflowContext): Promise<string> {
    const { employee, euros } = expense;
    const hook = await ctx.hook<Decision>();
    await this.mailer.send({ to: 'boss', subject: `may ${employee} spend ${euros} euros?`, token: hook.token });
    for (let reminders = 1; reminders <= 3; reminders++) {
      // Whichever comes first; the other is withdrawn, so that an answer is never lost to a wait that nobody looks at.
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
