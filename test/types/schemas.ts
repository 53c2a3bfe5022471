// The compiler checks this file (npm run lint:types): it must report each marked line and no other.
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

// The schema option does not change types, because a decorator cannot: `start` takes the input
// of `run`.
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

// @ts-expect-error -- start would accept a number, which the schema would refuse
@Workflow({ name: 'other option', input: order })
export class OtherOptionWorkflow {
  async run(_order: { id: string; amount: number }): Promise<void> {}
}

// @ts-expect-error -- run does not accept the output of the schema
@Workflow({ name: 'mismatched option', input: user })
export class MismatchedOptionWorkflow {
  async run(_order: { id: string }): Promise<void> {}
}

// @ts-expect-error -- a misspelt option
@Workflow({ name: 'misspelt', input: user, verison: 2 })
export class MisspeltOptionWorkflow {
  async run(_user: { name: string; role: string }): Promise<void> {}
}

// A static schema is inherited, and so is its check.
@Workflow({ name: 'zod', version: 2 })
class NextZodWorkflow extends ZodWorkflow {}

export async function starts(client: WorkflowClient): Promise<void> {
  exactly<InputOf<typeof ZodWorkflow>, { id: string; amount: string }>(true);
  const handle = await client.start(ZodWorkflow, { id: 'x', amount: '5' });
  exactly<typeof handle, WorkflowHandle<number>>(true);
  // @ts-expect-error -- the amount is a string until the schema converts it to a number
  await client.start(ZodWorkflow, { id: 'x', amount: 5 });
  // @ts-expect-error -- the input is missing
  await client.start(ZodWorkflow);
  await client.start(ValibotWorkflow, { name: 'x' });
  // @ts-expect-error -- a role is a string
  await client.start(ValibotWorkflow, { name: 'x', role: 5 });
  await client.startMany(ValibotWorkflow, [{ name: 'x' }, { name: 'y', role: 'z' }], ({ name }) => ({ id: name }));
  // @ts-expect-error -- the inputs have the type of the schema
  await client.startMany(ZodWorkflow, [{ id: 'x', amount: 5 }]);
  // The schema supplies the default for a missing input.
  await client.start(OptionalWorkflow);
  await client.start(OptionalWorkflow, 7);
  // @ts-expect-error -- run does not accept the output of the schema
  await client.start(MismatchWorkflow, { id: 5 });
  // @ts-expect-error -- the schema does not accept the input of run
  await client.start(MismatchWorkflow, { id: '5' });
  await client.start(NoSchemaWorkflow, 5);
  // @ts-expect-error -- a number
  await client.start(NoSchemaWorkflow, 'something else');
  await client.start(OptionWorkflow, { name: 'x', role: 'y' });
  exactly<InputOf<typeof NextZodWorkflow>, { id: string; amount: string }>(true);
  await client.start(NextZodWorkflow, { id: 'x', amount: '5' });
}

export const schemas: StandardSchema[] = [order, user, z.string(), v.string()];

// @ts-expect-error -- not a schema
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
  // @ts-expect-error -- Celsius has no such property
  serializer.register(Celsius, { name: 'Celsius', serialize: ({ kelvins }) => kelvins as unknown, deserialize: () => Celsius.of(1) });
  // @ts-expect-error -- the decoder does not return a Celsius
  serializer.register(Celsius, { name: 'Celsius', serialize: ({ degrees }) => degrees, deserialize: (degrees: number) => degrees });
  // @ts-expect-error -- a misspelt option
  serializer.register(Celsius, { nmae: 'Celsius', serialize: () => 1, deserialize: () => Celsius.of(1) });
  // @ts-expect-error -- an instance is not a class
  serializer.register(Celsius.of(1), { name: 'Celsius', serialize: () => 1, deserialize: () => Celsius.of(1) });
}

const codec: PayloadCodec = { encode: (bytes, { runId }) => (runId === '' ? undefined : bytes), decode: (bytes) => bytes };

export const modules = [
  WorkflowModule.forRoot({ payloads: { codec } }),
  // @ts-expect-error -- a codec is synchronous
  WorkflowModule.forRoot({ payloads: { codec: { ...codec, encode: async (bytes: Uint8Array) => bytes } } }),
  // @ts-expect-error -- decode is missing
  WorkflowModule.forRoot({ payloads: { codec: { encode: codec.encode } } }),
  // @ts-expect-error -- a misspelt option
  WorkflowModule.forRoot({ payloads: { codecs: codec } }),
];
