import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'timer' };
const PROMISES = { imports: "import { setTimeout as sleep } from 'node:timers/promises';" };
const replaced = { ...error, suggestions: [{ messageId: 'sleep', output: workflow('await ctx.sleep(order.ms);') }] };

testRule('no-timers', {
  valid: {
    'allows waits of the run': workflow("await ctx.sleep('3 days');"),
    'allows timers in steps': workflow("await ctx.step('wait', () => sleep(5));", PROMISES),
    'allows clearTimeout': workflow('clearTimeout(order.timer);'),
    'allows a parameter with the same name': workflow('setTimeout(order);', { parameters: 'order, setTimeout' }),
  },
  invalid: {
    'suggests ctx.sleep() for a promisified timer': {
      code: workflow('await pause(order.ms);', {
        imports: "import { promisify } from 'node:util'; const pause = promisify(setTimeout);",
      }),
      errors: [
        {
          ...error,
          suggestions: [
            {
              messageId: 'sleep',
              output: workflow('await ctx.sleep(order.ms);', {
                imports: "import { promisify } from 'node:util'; const pause = promisify(setTimeout);",
              }),
            },
          ],
        },
      ],
    },
    'suggests ctx.sleep for a promise of a timer': {
      code: workflow('await new Promise((resolve) => setTimeout(resolve, order.ms));'),
      errors: [replaced],
    },
    'suggests ctx.sleep for an executor with a block': {
      code: workflow('await new Promise<void>((resolve) => { setTimeout(resolve, order.ms); });'),
      errors: [replaced],
    },
    'suggests ctx.sleep for node:timers/promises': {
      code: workflow('await sleep(order.ms);', PROMISES),
      errors: [{ ...error, suggestions: [{ messageId: 'sleep', output: workflow('await ctx.sleep(order.ms);', PROMISES) }] }],
    },
    'suggests nothing for a value or an AbortSignal': {
      code: workflow('return await sleep(order.ms, order.id);', PROMISES),
      errors: [error],
    },
    'suggests nothing for an executor that does more': {
      code: workflow('await new Promise((resolve) => { log(1); setTimeout(resolve, 5); });'),
      errors: [error],
    },
    'finds all timers': {
      code: workflow('setInterval(f, 5); setImmediate(f); timers.setTimeout(f, 5); return AbortSignal.timeout(5);', {
        imports: "import * as timers from 'node:timers';",
      }),
      errors: [error, error, error, error],
    },
    'finds a timer in a function of the file': {
      code: workflow('await pause(5);', { after: 'const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));' }),
      errors: [error],
    },
  },
});
