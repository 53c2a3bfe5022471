// Checked by the compiler alone (npm run lint:types): what compiles here must, what is marked must not.
import * as v from 'valibot';
import { z } from 'zod';

import {
  serializer,
  Workflow,
  WorkflowModule,
  type InputOf,
  type PayloadCodec,
  type StandardSchema,
  type WorkflowClient,
  type WorkflowContext,
  type WorkflowHandle,
} from '../../src/index.js';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const exactly = <A, B>(_same: Equal<A, B>): void => undefined;

const order = z.object({ id: z.string(), amount: z.string().transform(Number) });

@Workflow({ name: 'zod' })
class ZodWorkflow {
  static readonly input = order;
  async run(_order: z.output<typeof order>): Promise<number> {
    return 1;
  }
}

const user = v.object({ name: v.string(), role: v.optional(v.string(), 'user') });

@Workflow({ name: 'valibot' })
class ValibotWorkflow {
  static readonly input = user;
  async run(_user: v.InferOutput<typeof user>): Promise<string> {
    return '';
  }
}

@Workflow({ name: 'optional' })
class OptionalWorkflow {
  static readonly input = z.number().default(5);
  async run(_count: number): Promise<void> {}
}

@Workflow({ name: 'mismatch' })
class MismatchWorkflow {
  static readonly input = z.object({ id: z.number() });
  async run(_input: { id: string }): Promise<void> {}
}

@Workflow({ name: 'no schema' })
class NoSchemaWorkflow {
  static readonly input = 'something else';
  async run(_input: number): Promise<void> {}
}

// The option checks and does not type, because a decorator cannot: `start` takes what `run` does.
@Workflow({ name: 'option', input: user })
class OptionWorkflow {
  async run(_user: { name: string; role: string }): Promise<void> {}
}

@Workflow({ name: 'coerced', input: z.object({ amount: z.coerce.number() }) })
export class CoercedOptionWorkflow {
  async run(_order: { amount: number }, _ctx: WorkflowContext): Promise<void> {}
}

@Workflow({ name: 'ignored', input: user })
export class IgnoringOptionWorkflow {
  async run(): Promise<void> {}
}

// @ts-expect-error -- what start would take, a number, is no text: the schema would refuse it
@Workflow({ name: 'other option', input: order })
export class OtherOptionWorkflow {
  async run(_order: { id: string; amount: number }): Promise<void> {}
}

// @ts-expect-error -- run does not take what the schema gives
@Workflow({ name: 'mismatched option', input: user })
export class MismatchedOptionWorkflow {
  async run(_order: { id: string }): Promise<void> {}
}

// @ts-expect-error -- a misspelt option
@Workflow({ name: 'misspelt', input: user, verison: 2 })
export class MisspeltOptionWorkflow {
  async run(_user: { name: string; role: string }): Promise<void> {}
}

// A static schema is inherited, as its check is.
@Workflow({ name: 'zod', version: 2 })
class NextZodWorkflow extends ZodWorkflow {}

export async function starts(client: WorkflowClient): Promise<void> {
  exactly<InputOf<typeof ZodWorkflow>, { id: string; amount: string }>(true);
  const handle = await client.start(ZodWorkflow, { id: 'x', amount: '5' });
  exactly<typeof handle, WorkflowHandle<number>>(true);
  // @ts-expect-error -- the amount is a text before the schema has made a number of it
  await client.start(ZodWorkflow, { id: 'x', amount: 5 });
  // @ts-expect-error -- the input is missing
  await client.start(ZodWorkflow);
  await client.start(ValibotWorkflow, { name: 'x' });
  // @ts-expect-error -- a role is a text
  await client.start(ValibotWorkflow, { name: 'x', role: 5 });
  await client.startMany(ValibotWorkflow, [{ name: 'x' }, { name: 'y', role: 'z' }], ({ name }) => ({ id: name }));
  // @ts-expect-error -- the inputs are the schema's
  await client.startMany(ZodWorkflow, [{ id: 'x', amount: 5 }]);
  // The schema knows what it is when nothing is given.
  await client.start(OptionalWorkflow);
  await client.start(OptionalWorkflow, 7);
  // @ts-expect-error -- run does not take what the schema gives
  await client.start(MismatchWorkflow, { id: 5 });
  // @ts-expect-error -- nor could the schema take what run does
  await client.start(MismatchWorkflow, { id: '5' });
  await client.start(NoSchemaWorkflow, 5);
  // @ts-expect-error -- a number
  await client.start(NoSchemaWorkflow, 'something else');
  await client.start(OptionWorkflow, { name: 'x', role: 'y' });
  exactly<InputOf<typeof NextZodWorkflow>, { id: string; amount: string }>(true);
  await client.start(NextZodWorkflow, { id: 'x', amount: '5' });
}

export const schemas: StandardSchema[] = [order, user, z.string(), v.string()];

// @ts-expect-error -- no schema
@Workflow({ name: 'odd', input: { parse: () => 1 } })
export class OddWorkflow {}

class Celsius {
  private constructor(readonly degrees: number) {}
  static of(degrees: number): Celsius {
    return new Celsius(degrees);
  }
}

export function registrations(): void {
  serializer.register(Celsius, {
    name: 'Celsius',
    serialize: ({ degrees }) => degrees,
    deserialize: (degrees: number) => Celsius.of(degrees),
  });
  // @ts-expect-error -- a Celsius has no kelvins
  serializer.register(Celsius, { name: 'Celsius', serialize: ({ kelvins }) => kelvins as unknown, deserialize: () => Celsius.of(1) });
  // @ts-expect-error -- what comes back is no Celsius
  serializer.register(Celsius, { name: 'Celsius', serialize: ({ degrees }) => degrees, deserialize: (degrees: number) => degrees });
  // @ts-expect-error -- a misspelt option
  serializer.register(Celsius, { nmae: 'Celsius', serialize: () => 1, deserialize: () => Celsius.of(1) });
  // @ts-expect-error -- an instance is no class
  serializer.register(Celsius.of(1), { name: 'Celsius', serialize: () => 1, deserialize: () => Celsius.of(1) });
}

const codec: PayloadCodec = { encode: (bytes, { runId }) => (runId === '' ? undefined : bytes), decode: (bytes) => bytes };

export const modules = [
  WorkflowModule.forRoot({ payloads: { codec } }),
  // @ts-expect-error -- a codec is synchronous
  WorkflowModule.forRoot({ payloads: { codec: { ...codec, encode: async (bytes: Uint8Array) => bytes } } }),
  // @ts-expect-error -- it also decodes
  WorkflowModule.forRoot({ payloads: { codec: { encode: codec.encode } } }),
  // @ts-expect-error -- a misspelt option
  WorkflowModule.forRoot({ payloads: { codecs: codec } }),
];
