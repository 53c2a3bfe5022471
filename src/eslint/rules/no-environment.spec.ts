import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'environment' };

testRule('no-environment', {
  valid: {
    'allows the environment outside of run': workflow('return limit;', { after: 'const limit = Number(process.env.LIMIT);' }),
    'allows the environment in steps': workflow("return ctx.step('limit', () => process.env.LIMIT);"),
    'allows other members of process': workflow('return process.platform;'),
    'allows a parameter with the same name': workflow('return process.env;', { parameters: 'process' }),
  },
  invalid: {
    'finds process.env': {
      code: workflow("return [process.env.LIMIT, process.env['LIMIT'], process?.env];"),
      errors: [error, error, error],
    },
    'finds a destructured variable once': { code: workflow('const { LIMIT } = process.env; return LIMIT;'), errors: [error] },
    'finds an alias once': { code: workflow('const env = process.env; return env.LIMIT + env.MORE;'), errors: [error] },
    'finds the environment of other runtimes': { code: workflow('return [Bun.env.LIMIT, Deno.env.get(order)];'), errors: [error, error] },
    'finds imports': {
      code: workflow('return [env.LIMIT, proc.env.LIMIT];', { imports: "import proc, { env } from 'node:process';" }),
      errors: [error, error],
    },
    'finds the environment in a condition of a method': {
      code: workflow('return this.isOn();', { members: "isOn() { return process.env.FEATURE === 'on'; }" }),
      errors: [error],
    },
  },
});
