// Checked by the compiler alone (npm run lint:types): what compiles here must, what is marked must not.
import * as v from 'valibot';
import { z } from 'zod';

import { HookVerifier, type Hook, type HookRequest, type HookVerificationRequest, type WorkflowContext } from '../../src/index.js';

export async function hooks(ctx: WorkflowContext): Promise<void> {
  const schema = z.object({ paid: z.coerce.number() });
  const fromZod: Hook<{ paid: number }> = await ctx.hook({ schema });
  const fromValibot: Hook<string> = await ctx.hook({ schema: v.string() });
  const named: Hook<{ paid: number }> = await ctx.hook<{ paid: number }>({ schema });
  // @ts-expect-error the schema makes something else
  await ctx.hook<{ sum: number }>({ schema });

  const withHeaders: Hook<HookRequest<{ paid: number }>> = await ctx.hook({ schema, headers: ['x-event'] });
  const { body, headers } = await withHeaders.wait();
  const paid: number = body.paid;
  const event: string | undefined = headers['x-event'];

  // @ts-expect-error null when the time is over
  const inTime: { paid: number } = await fromZod.wait({ timeout: '1 day' });
  const sooner: { paid: number } | null = await fromZod.wait({ timeout: '1 day' });
  const untyped: Hook<unknown> = await ctx.hook();
  void [fromValibot, named, paid, event, inTime, sooner, untyped];
}

@HookVerifier('good')
export class Good {
  verify({ rawBody, headers, token }: HookVerificationRequest): boolean {
    return rawBody.length > 0 && headers['x'] === token;
  }
}

// @ts-expect-error a verifier has a method verify
@HookVerifier('bad')
export class Bad {}
