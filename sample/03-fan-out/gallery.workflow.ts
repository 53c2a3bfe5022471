import { setTimeout as sleep } from 'node:timers/promises';

import { Step, Workflow, type WorkflowContext } from 'nestjs-durable';

/** One picture: a run of its own, with its own retries and its own place in every list. */
@Workflow({ name: 'picture' })
export class PictureWorkflow {
  async run(picture: number): Promise<number> {
    return this.resize(picture);
  }

  @Step()
  async resize(picture: number): Promise<number> {
    await sleep(50 + (picture % 7) * 20); // stands for work elsewhere
    return 1_000 + picture;
  }
}

/** All pictures: started and awaited as children, so many at a time. */
@Workflow({ name: 'gallery' })
export class GalleryWorkflow {
  async run({ pictures }: { pictures: number }, ctx: WorkflowContext): Promise<{ pictures: number; bytes: number }> {
    const numbers = Array.from({ length: pictures }, (_, index) => index);
    const sizes = await ctx.invokeMany(PictureWorkflow, numbers, { maxInFlight: 40, tags: { gallery: ctx.runId } });
    return { pictures: sizes.length, bytes: sizes.reduce((sum, size) => sum + size, 0) };
  }
}
