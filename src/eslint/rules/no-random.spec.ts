import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'random' };
const NODE = { imports: "import { randomBytes, randomUUID, createHash } from 'node:crypto';" };

testRule('no-random', {
  valid: {
    'allows the sequence of the run': workflow('return [ctx.random(), ctx.uuid(), Math.max(1, 2)];'),
    'allows hashes': workflow("return createHash('sha256').update(order.id).digest('hex');", NODE),
    'allows random values in steps': workflow("return ctx.step('key', () => randomBytes(16));", {
      ...NODE,
      members: '@Step() async draw() { return Math.random(); }',
    }),
    'allows a random function in the place of a body': workflow("return ctx.step('key', randomUUID);", NODE),
    'allows a name of the file': workflow('return [randomUUID(), crypto.randomUUID()];', {
      after: 'function randomUUID() { return 1; } const crypto = { randomUUID: () => 2 };',
    }),
  },
  invalid: {
    'replaces Math.random()': {
      code: workflow('return Math.random() < 0.5;'),
      output: workflow('return ctx.random() < 0.5;'),
      errors: [error],
    },
    'suggests a UUID of the run, or a step': {
      code: workflow('return crypto.randomUUID();'),
      errors: [
        {
          ...error,
          suggestions: [
            { messageId: 'uuid', output: workflow('return ctx.uuid();') },
            { messageId: 'step', output: workflow("return await ctx.step('randomUUID', () => crypto.randomUUID());") },
          ],
        },
      ],
    },
    'suggests a step for imported functions': {
      code: workflow("return randomBytes(16).toString('hex');", NODE),
      errors: [
        {
          ...error,
          suggestions: [
            { messageId: 'step', output: workflow("return (await ctx.step('randomBytes', () => randomBytes(16))).toString('hex');", NODE) },
          ],
        },
      ],
    },
    'suggests nothing for an argument that awaits': {
      code: workflow('return randomBytes(await this.charge(order));', NODE),
      errors: [error],
    },
    'suggests no step where the function is not async': {
      code: workflow('return order.items.map(() => randomBytes(4));', NODE),
      errors: [error],
    },
    'follows imports of CommonJS, a dynamic import, and promisify': {
      code: workflow(
        "const { webcrypto } = await import('node:crypto'); return [webcrypto.getRandomValues(x), a.randomFill(x), draw(16)];",
        {
          imports:
            "import a = require('crypto'); import util, { promisify } from 'node:util'; const draw = util.promisify(a.generateKeyPair);",
        },
      ),
      errors: [error, error, error],
    },
    'follows each way to import': {
      code: workflow('return [a.randomInt(3), b.getRandomValues(x), c.webcrypto.getRandomValues(x), d];', {
        imports:
          "import * as a from 'crypto'; const b = require('node:crypto'); import c from 'node:crypto'; import { generateKeySync as d } from 'crypto';",
      }),
      errors: [
        {
          ...error,
          suggestions: [
            {
              messageId: 'step',
              output: workflow(
                "return [(await ctx.step('randomInt', () => a.randomInt(3))), b.getRandomValues(x), c.webcrypto.getRandomValues(x), d];",
                {
                  imports:
                    "import * as a from 'crypto'; const b = require('node:crypto'); import c from 'node:crypto'; import { generateKeySync as d } from 'crypto';",
                },
              ),
            },
          ],
        },
        error,
        error,
        error,
      ],
    },
    'knows packages that make ids': {
      code: workflow('return order.items.map(() => [nanoid(), ulid(), v7()]);', {
        imports: "import { nanoid } from 'nanoid'; import { ulid } from 'ulid'; import { v7 } from 'uuid';",
      }),
      errors: [error, error, error],
    },
  },
});
