import { testRule, workflow } from '../../../test/support/lint-rules.js';

const dropped = { messageId: 'dropped' };
const forEach = { messageId: 'forEach' };
const SERVICE = {
  fields: 'constructor(private readonly payments: Payments) {}',
  after: 'class Payments { @Step() async refund(order) {} total() { return 1; } }',
};
const withAwait = (statement: string, parts = {}) => ({
  ...dropped,
  suggestions: [{ messageId: 'await', output: workflow(statement, parts) }],
});

testRule('no-unawaited-steps', {
  valid: {
    'allows awaited steps': workflow("await this.charge(order); const a = await ctx.step('a', () => 1); return a;"),
    'allows a returned promise': workflow('return this.charge(order);'),
    'allows a promise that is stored and awaited later': workflow('const charge = this.charge(order); await ctx.sleep(5); return charge;'),
    'allows a promise that is assigned': workflow('let charge; if (order) charge = this.charge(order); await charge;'),
    'allows a list of promises': workflow(
      'const all = []; for (const each of order.items) all.push(this.charge(each)); await Promise.all(all);',
    ),
    'allows Promise.all': workflow('await Promise.all([this.charge(order), ctx.sleep(5)]);'),
    'allows Promise.all of map': workflow('return Promise.all(order.items.map(async (item) => { await this.charge(item); }));'),
    'allows an awaited chain': workflow('await this.charge(order).catch(() => null);'),
    'allows branches of a race': workflow('await ctx.race({ paid: () => this.charge(order), late: () => ctx.sleep(5) });'),
    'allows an awaited condition': workflow('return order.paid || (await this.charge(order));'),
    'allows calls that are no steps': workflow(
      "ctx.setState('a', 1); ctx.patched('b'); ctx.logger.log('c'); this.payments.total(); this.log();",
      {
        ...SERVICE,
        members: 'log() {}',
      },
    ),
    'allows calls in a body': workflow("await ctx.step('all', async () => { this.charge(order); });"),
    'allows a function that keeps the promise of a step': workflow('this.queue(order); await Promise.all(this.pending);', {
      members: 'pending = []; queue(order) { return this.pending.push(this.charge(order)); }',
    }),
    'allows another context': workflow('await run({}, (ctx) => { ctx.step(); });'),
    'allows a dropped function without steps': workflow('log();', { after: 'async function log() { return 1; }' }),
  },
  invalid: {
    'suggests await for a step method': { code: workflow('this.charge(order);'), errors: [withAwait('await this.charge(order);')] },
    'suggests await for a wait': { code: workflow('ctx.sleep(5);'), errors: [withAwait('await ctx.sleep(5);')] },
    'suggests await for events': {
      code: workflow('ctx.emit(paid, order); ctx.waitForEvent(paid);'),
      errors: [
        withAwait('await ctx.emit(paid, order); ctx.waitForEvent(paid);'),
        withAwait('ctx.emit(paid, order); await ctx.waitForEvent(paid);'),
      ],
    },
    'suggests await in place of void': { code: workflow('void this.charge(order);'), errors: [withAwait('await this.charge(order);')] },
    'knows steps of an injected class of the file': {
      code: workflow('this.payments.refund(order);', SERVICE),
      errors: [withAwait('await this.payments.refund(order);', SERVICE)],
    },
    'knows steps of a destructured class': {
      code: workflow('const { payments } = this; payments.refund(order);', SERVICE),
      errors: [withAwait('const { payments } = this; await payments.refund(order);', SERVICE)],
    },
    'knows waits of hooks': {
      code: workflow('const hook = await ctx.hook(); hook.wait();'),
      errors: [withAwait('const hook = await ctx.hook(); await hook.wait();')],
    },
    'finds a chain that is dropped': { code: workflow('this.charge(order).then(log).catch(() => null);'), errors: [dropped] },
    'finds a variable that nothing reads': { code: workflow('const charge = this.charge(order); return 1;'), errors: [dropped] },
    'finds dropped operands': {
      code: workflow('order.paid || this.charge(order); order.a ? this.charge(order) : 0;'),
      errors: [dropped, dropped],
    },
    'finds conditions that are always true': {
      code: workflow('if (!this.charge(order)) return; while (ctx.sleep(5)) log(); do log(); while (ctx.sleep(5));'),
      errors: [dropped, dropped, dropped],
    },
    'finds a dropped Promise.all': { code: workflow('Promise.all([this.charge(order)]);'), errors: [dropped] },
    'finds a dropped map': {
      code: workflow('order.items.map((item) => this.charge(item)); order.items.map(async (item) => { await this.charge(item); });'),
      errors: [dropped, dropped],
    },
    'finds forEach': {
      code: workflow(
        'order.items.forEach((item) => this.charge(item)); order.items.forEach((item) => { this.charge(item); }); order.items.forEach(async (item) => { await this.charge(item); });',
      ),
      errors: [forEach, forEach, forEach],
    },
    'finds forEach of a named function': {
      code: workflow('const bill = (item) => this.charge(item); order.items.forEach(bill);'),
      errors: [forEach],
    },
    'finds a dropped function that returns the promise of a step': {
      code: workflow('this.bill(order);', { members: 'bill(order) { return this.charge(order); }' }),
      errors: [withAwait('await this.bill(order);', { members: 'bill(order) { return this.charge(order); }' })],
    },
    'finds a dropped async function that calls a step': {
      code: workflow('this.bill(order, ctx);', { members: 'private async bill(order, ctx) { await this.charge(order); }' }),
      errors: [
        {
          ...dropped,
          suggestions: [
            {
              messageId: 'await',
              output: workflow('await this.bill(order, ctx);', { members: 'private async bill(order, ctx) { await this.charge(order); }' }),
            },
          ],
        },
      ],
    },
    'finds an async function that is called where it stands': {
      code: workflow('(async () => { await this.charge(order); })();'),
      errors: [dropped],
    },
    'finds waits in a method that gets the context': {
      code: workflow('await this.pause(ctx);', { members: 'private pause(context) { context.sleep(5); }' }),
      errors: [dropped],
    },
  },
});
