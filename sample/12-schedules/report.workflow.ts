import { Workflow, type WorkflowContext } from 'nestjs-durable';

export interface ReportInput {
  tenant: string;
  timezone: string;
}

/** Report about the day before the due time, in the time zone of a tenant. */
@Workflow({ name: 'report' })
export class ReportWorkflow {
  async run({ tenant, timezone }: ReportInput, ctx: WorkflowContext): Promise<string> {
    // A run that starts late reports about its own day, and not about today.
    const dueAt = ctx.schedule?.dueAt ?? ctx.now();
    const day = dayBefore(dueAt, timezone);
    const orders = await ctx.step('count orders', () => ordersOf(tenant, day));
    return `${tenant}: ${orders} orders on ${day}`;
  }
}

function dayBefore(date: Date, timezone: string): string {
  return new Intl.DateTimeFormat('en-CA', { timeZone: timezone }).format(date.getTime() - 24 * 3_600_000);
}

/** Stands for a query of the application. */
function ordersOf(tenant: string, day: string): number {
  return tenant.length + Number(day.slice(-2));
}
