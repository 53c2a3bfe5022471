import { Step, Workflow, type Batch } from 'nestjs-durable';

export interface Report {
  readonly tenant: string;
  readonly number: number;
}

/** Reports that are being made, by tenant. */
const making = new Map<string, number>();
/** Largest number of reports of a tenant that were made at the same time. */
export const most = new Map<string, number>();

/** Makes reports: one at a time for each tenant, and all tenants in turns. */
@Workflow({ name: 'report', queue: 'reports', queueKey: ({ tenant }: Report) => tenant })
export class ReportWorkflow {
  async run(report: Report): Promise<string> {
    return this.make(report);
  }

  @Step()
  async make({ tenant, number }: Report): Promise<string> {
    const count = (making.get(tenant) ?? 0) + 1;
    making.set(tenant, count);
    most.set(tenant, Math.max(most.get(tenant) ?? 0, count));
    await new Promise((resolve) => setTimeout(resolve, 20));
    making.set(tenant, count - 1);
    return `${tenant} ${number}`;
  }
}

/** Updates the search index of a tenant, with the newest state of a document that changes often. */
@Workflow({ name: 'reindex' })
export class ReindexWorkflow {
  async run(document: { readonly tenant: string; readonly revision: number }): Promise<string> {
    return this.write(document);
  }

  @Step()
  async write({ tenant, revision }: { readonly tenant: string; readonly revision: number }): Promise<string> {
    return `revision ${revision} of ${tenant}`;
  }
}

/** Sends mails to a service that takes many in one request. */
@Workflow({ name: 'mail', batch: { size: 4, wait: '1s' } })
export class MailWorkflow {
  async run(addresses: Batch<string>): Promise<string[]> {
    return this.send([...addresses]);
  }

  @Step()
  async send(addresses: string[]): Promise<string[]> {
    return addresses.map((address) => `${address}: sent with ${addresses.length - 1} others`);
  }
}
