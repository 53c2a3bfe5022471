import { Schedule, Workflow, type WorkflowContext } from 'nestjs-durable';

/** Schedule that belongs to the code: it is stored at boot, and changes with the decorator. */
@Schedule({ every: '1s', overlap: 'skip' })
@Workflow({ name: 'heartbeat' })
export class HeartbeatWorkflow {
  async run(_input: void, ctx: WorkflowContext): Promise<string> {
    return `heartbeat of ${ctx.schedule!.dueAt.toISOString()}`;
  }
}
