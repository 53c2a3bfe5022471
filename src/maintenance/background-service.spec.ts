import { describe, expect, it } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { BackgroundService } from './background-service.js';

/** Does work that lasts until `release` is called, then pauses for an hour. */
class SlowService extends BackgroundService {
  begun = 0;
  ended = 0;
  release!: () => void;

  wantNow(): void {
    this.schedule(0);
  }

  protected async work(): Promise<number> {
    this.begun++;
    await new Promise<void>((resolve) => (this.release = resolve));
    this.ended++;
    return 3_600_000;
  }
}

describe('BackgroundService', () => {
  it('resolves stop() when the current work has ended, and does no further work', async () => {
    const service = new SlowService();
    service.start();
    await waitFor(() => service.begun === 1);
    let isStopped = false;
    const stopped = service.stop().then(() => (isStopped = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect([isStopped, service.ended]).toEqual([false, 0]);
    service.release();
    await stopped;
    expect(service.ended).toBe(1);
    service.wantNow();
    await service.stop();
    expect(service.begun).toBe(1);
  });

  it('does not begin its work again while it works', async () => {
    const service = new SlowService();
    service.start();
    await waitFor(() => service.begun === 1);
    service.wantNow();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(service.begun).toBe(1);
    service.release();
    await waitFor(() => service.ended === 1);
    await service.stop();
  });

  it('does its work before the end of its pause when it is scheduled again', async () => {
    const service = new SlowService();
    service.start();
    await waitFor(() => service.begun === 1);
    service.release();
    await waitFor(() => service.ended === 1);
    await waitFor(() => {
      service.wantNow();
      return service.begun === 2;
    });
    service.release();
    await service.stop();
  });

  it('resolves stop() at once when it was never started', async () => {
    await new SlowService().stop();
  });
});
