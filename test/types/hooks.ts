// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
import * as v from 'valibot';
import { z } from 'zod';

import { HookVerifier, type Hook, type HookRequest, type HookVerificationRequest, type WorkflowContext } from '../../src/index.js';

export async function hooks(ctx: WorkflowContext): Promise<void> {
  const schema = z.object({ paid: z.coerce.number() });
  const fromZod: Hook<{ paid: number }> = await ctx.hook({ schema });
  const fromValibot: Hook<string> = await ctx.hook({ schema: v.string() });
  const named: Hook<{ paid: number }> = await ctx.hook<{ paid: number }>({ schema });
  // @ts-expect-error the schema returns another type
  await ctx.hook<{ sum: number }>({ schema });

  const withHeaders: Hook<HookRequest<{ paid: number }>> = await ctx.hook({ schema, headers: ['x-event'] });
  const { body, headers } = await withHeaders.wait();
  const paid: number = body.paid;
  const event: string | undefined = headers['x-event'];

  // @ts-expect-error the result is null after a timeout
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

// @ts-expect-error a verifier must have a verify method
@HookVerifier('bad')
export class Bad {}
