// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import { OnRunEvent, workflowRef, type AnyRunEvent, type RunEventName, type RunEventOf } from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

const order = workflowRef<number, string>('order');

export class Listeners {
  @OnRunEvent('run.failed', { workflow: order, durable: true })
  async failed(event: RunEventOf<'run.failed'>): Promise<void> {
    exactly<typeof event.status, 'failed'>(true);
    exactly<typeof event.error.code, string>(true);
    exactly<typeof event.failedStep, string | undefined>(true);
  }

  @OnRunEvent('run.failed')
  @OnRunEvent('run.completed', { workflow: 'order' })
  either(event: RunEventOf<'run.failed' | 'run.completed'>): void {
    exactly<typeof event.status, 'failed' | 'completed'>(true);
  }

  @OnRunEvent('step.failed')
  any(event: AnyRunEvent): void {
    exactly<typeof event.event, RunEventName>(true);
    if (event.event === 'step.failed') exactly<typeof event.stepKey, string>(true);
  }

  @OnRunEvent('run.cancelled')
  nothing(): void {}

  // @ts-expect-error -- the method accepts another event
  @OnRunEvent('run.completed')
  wrong(_event: RunEventOf<'run.failed'>): void {}

  // @ts-expect-error -- no event has this name
  @OnRunEvent('queue.paused')
  unknown(): void {}

  // @ts-expect-error -- no option has this name
  @OnRunEvent('run.failed', { retries: 3 })
  option(): void {}
}
