import { setTimeout as sleep } from 'node:timers/promises';

import { Step, Workflow, type WorkflowContext } from 'nestjs-durable';

/**
 * Resizes one picture. It is a run of its own, with its own retries and its own entry in listings.
 */
@Workflow({ name: 'picture' })
export class PictureWorkflow {
  async run(picture: number): Promise<number> {
    return this.resize(picture);
  }

  @Step()
  async resize(picture: number): Promise<number> {
    await sleep(50 + (picture % 7) * 20); // stands for work in another system
    return 1_000 + picture;
  }
}

/** Resizes all pictures as child runs, a bounded number at a time. */
@Workflow({ name: 'gallery' })
export class GalleryWorkflow {
  async run({ pictures }: { pictures: number }, ctx: WorkflowContext): Promise<{ pictures: number; bytes: number }> {
    const numbers = Array.from({ length: pictures }, (_, index) => index);
    const sizes = await ctx.invokeMany(PictureWorkflow, numbers, { maxInFlight: 40, tags: { gallery: ctx.runId } });
    return { pictures: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }
}
