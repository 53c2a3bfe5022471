import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'clock' };

testRule('no-clock', {
  valid: {
    'allows constructors that the code does not call': workflow('return 1;', {
      fields: 'constructor(private readonly payments: Payments) { this.startedAt = Date.now(); }',
      after: 'class Payments { constructor() { this.at = Date.now(); } }',
    }),
    'allows dates with arguments': workflow('return [new Date(order.at), new Date(0), Date.parse(order.at), new Date(...order.parts)];'),
    'allows the clock of the run': workflow('return ctx.now().getTime();'),
    'allows the clock in a step method': workflow('return this.charge(order);', {
      members: '@Step() async stamp() { return Date.now(); }',
    }),
    'allows the clock in the body of ctx.step': workflow("return ctx.step('stamp', () => Date.now());"),
    'allows the clock in a body with options': workflow("return ctx.step('stamp', { timeout: '1s' }, async () => new Date());"),
    'allows the clock in the compensation of a step': workflow(
      "return ctx.step('a', { compensate: (output) => log(Date.now()) }, () => 1);",
    ),
    'allows a local function that only bodies call': workflow(
      "const stamp = () => Date.now(); const clock = { now: () => Date.now() }; return ctx.step('a', () => [stamp(), clock.now()]);",
    ),
    'allows a function that is passed as a body': workflow("return ctx.step('stamp', stamp);", {
      after: 'async function stamp() { return Date.now(); }',
    }),
    'allows a method that is passed as a body': workflow("return ctx.step('stamp', this.stamp);", {
      members: 'stamp() { return Date.now(); }',
    }),
    'allows a bound method and a function that makes a body': workflow(
      "await ctx.step('a', this.stamp.bind(this)); return ctx.step('b', at(order));",
      {
        members: 'stamp() { return Date.now(); }',
        after: 'const at = (order) => () => Date.now() - order.at;',
      },
    ),
    'allows bodies that a function of the file passes on': workflow(
      "const record = (name, body) => ctx.step(name, body); return [record('a', () => Date.now()), this.twice('b', async () => new Date())];",
      { members: 'async twice(name, body) { return ctx.step(name, async () => [await body(), await body()]); }' },
    ),
    'allows a built-in function in the place of a body': workflow(
      "await ctx.step('at', Date.now); return [record('at', Date.now), ctx.step('at', { compensate: Date.now }, () => 1)];",
      { after: 'const record = (name, body) => new Recorder().step(name, body);' },
    ),
    'allows a body that is chosen by a condition or has a type assertion': workflow(
      "return [ctx.step('a', order.stamp ?? (() => Date.now())), ctx.step('b', order.late ? late : undefined), ctx.step('c', (() => Date.now())!)];",
      { after: 'const late = order.late ?? (() => Date.now());' },
    ),
    'allows bodies in a list of objects': workflow(
      `const tasks = [{ name: 'a', body: () => Date.now() }];
      for (const each of tasks) await ctx.step(each.name, each.body);
      const undo = [];
      undo.push({ name: 'b', refund: () => Date.now() });
      for (const { name, refund } of undo.reverse()) await ctx.step(name, refund);
      return order.items.map((item) => ({ name: item.id, load: () => Date.now() })).map(({ name, load }) => ctx.step(name, load));`,
    ),
    'allows bodies in a list': workflow(
      `const undo = [() => Date.now()];
      undo.push(() => Date.now());
      for (const each of [...undo].reverse()) await ctx.step('undo', each);
      const loads = order.items.map((item) => () => Date.now() - item.at);
      return Promise.all(loads.map((load) => ctx.step('load', load)));`,
    ),
    'allows bodies in an object that steps execute': workflow(
      `const tasks = { a: () => Date.now(), b: () => new Date() };
      for (const [name, body] of Object.entries(tasks)) await ctx.step(name, body);
      const others = { c: () => Date.now() };
      const chosen = others[order.name]!;
      return ctx.step('c', chosen);`,
    ),
    'allows a body that another function has returned': workflow(
      "const stamp = (item) => () => Date.now() - item.at; const body = stamp(order); return ctx.step('a', body);",
    ),
    'allows bodies that a class of the file keeps': workflow(
      "const undo = new Undo(); undo.add('a', () => Date.now()); undo.addLast(() => new Date()); return undo.execute(ctx);",
      {
        after: `class Undo {
          entries = []; last = [];
          add(name, body) { this.entries.push({ name, body }); }
          addLast(body) { this.last.push(body); }
          async execute(ctx) {
            for (const { name, body } of this.entries.reverse()) await ctx.step(name, body);
            for (const each of this.last) await ctx.step('last', each);
          }
        }`,
      },
    ),
    'allows code that refers to itself': workflow('return [a, b, this.again(), again()];', {
      members: 'again() { return this.again(); }',
      after: 'const a = b; const b = a; function again() { return again(); } class Own extends Own {}',
    }),
    'allows the type of a function': workflow('const now: typeof Date.now = order.now; return now();'),
    'allows code that run does not reach': workflow('return 1;', {
      members: 'stamp() { return Date.now(); }',
      after: 'export const started = Date.now(); export function unused() { return new Date(); }',
    }),
    'allows a parameter that shadows the global': workflow('return [1].map((Date) => Date.now());'),
    'allows a declaration that shadows the global': workflow('return Date.now();', { imports: "import { Date } from './clock.js';" }),
    'allows a member of another object': workflow('return order.Date.now() + this.performance.now();'),
    'allows other classes': 'class Plain { run() { return Date.now(); } }',
    'allows a decorator of another package': "import { Workflow } from 'other'; @Workflow() class A { run() { return Date.now(); } }",
    'allows a type': workflow('const at: Date = ctx.now(); return at instanceof Date;'),
  },
  invalid: {
    'reports constructors that the code calls': {
      code: workflow('return new Invoice(order);', {
        after: 'class Dated { constructor() { this.at = Date.now(); } } class Invoice extends Dated { constructor(order) { super(); } }',
      }),
      errors: [{ messageId: 'clock' }],
    },
    'replaces Date.now()': {
      code: workflow('return Date.now() - order.at;'),
      output: workflow('return ctx.now().getTime() - order.at;'),
      errors: [error],
    },
    'replaces new Date()': { code: workflow('return new Date();'), output: workflow('return ctx.now();'), errors: [error] },
    'replaces new Date and Date()': {
      code: workflow('return [new Date, Date()];'),
      output: workflow('return [ctx.now(), ctx.now().toString()];'),
      errors: [error, error],
    },
    'uses the name of the context': {
      code: workflow('return Date.now();', { parameters: 'order: Order, durable' }),
      output: workflow('return durable.now().getTime();', { parameters: 'order: Order, durable' }),
      errors: [error],
    },
    'has no fix in a default value before the context': {
      code: workflow('return at;', { parameters: 'at = Date.now(), ctx' }),
      errors: [error],
    },
    'has no fix without a context': { code: workflow('return Date.now();', { parameters: 'order: Order' }), errors: [error] },
    'has no fix where the context may be missing': {
      code: workflow('return [late(ctx), later(ctx)];', {
        after:
          'const late = (ctx?: WorkflowContext) => Date.now(); function later(ctx: WorkflowContext | undefined) { return Date.now(); }',
      }),
      errors: [error, error],
    },
    'has no fix where the name of the context is shadowed': {
      code: workflow('return [1].map((ctx) => Date.now());'),
      errors: [error],
    },
    'follows the global object': {
      code: workflow('return globalThis.Date.now();'),
      output: workflow('return ctx.now().getTime();'),
      errors: [error],
    },
    'finds a reference that is not called': { code: workflow('return order.items.map(Date.now);'), errors: [error] },
    'follows an alias': {
      code: workflow('return now();', { imports: 'const { now } = Date;' }),
      output: workflow('return ctx.now().getTime();', { imports: 'const { now } = Date;' }),
      errors: [error],
    },
    'reports an alias once': { code: workflow('const now = Date.now; return now();'), errors: [error] },
    'suggests the clock of the run for elapsed time': {
      code: workflow('const begun = performance.now();'),
      errors: [{ ...error, suggestions: [{ messageId: 'now', output: workflow('const begun = ctx.now().getTime();') }] }],
    },
    'finds imported clocks': {
      code: workflow('return [performance.timeOrigin, hrtime.bigint(), process.uptime(), Temporal.Now.instant()];', {
        imports: "import { performance } from 'node:perf_hooks'; import { hrtime } from 'node:process';",
      }),
      errors: [error, error, error, error],
    },
    'finds the clock in the arguments of a step': {
      code: workflow('return ctx.step(`at ${Date.now()}`, () => 1);'),
      output: workflow('return ctx.step(`at ${ctx.now().getTime()}`, () => 1);'),
      errors: [error],
    },
    'finds the clock in a function that makes an option of a step': {
      code: workflow("return ctx.step('a', { timeout: this.limit() }, () => 1);", { members: 'limit() { return Date.now(); }' }),
      errors: [error],
    },
    'finds the clock in the condition of a body': {
      code: workflow("return ctx.step('a', isLate() ? order.a : order.b);", { after: 'const isLate = () => Date.now() > 5;' }),
      errors: [error],
    },
    'finds the clock in functions of a list that are called': {
      code: workflow(`const undo = [];
        undo.push(() => Date.now());
        for (const each of undo) await each();
        const tasks = [{ body: () => Date.now() }];
        for (const { body } of tasks) await ctx.step('a', () => body());
        for (const task of tasks) task.body();`),
      output: workflow(`const undo = [];
        undo.push(() => ctx.now().getTime());
        for (const each of undo) await each();
        const tasks = [{ body: () => ctx.now().getTime() }];
        for (const { body } of tasks) await ctx.step('a', () => body());
        for (const task of tasks) task.body();`),
      errors: [error, error],
    },
    'finds the clock in a returned function and in a stored function that are called': {
      code: workflow(
        "const stamp = (item) => () => Date.now(); stamp(order)(); keep.add(() => Date.now()); return ctx.step('a', stamp(order));",
        {
          after:
            'class Keep { all = []; add(body) { this.all.push(body); } call() { for (const each of this.all) each(); } } const keep = new Keep();',
        },
      ),
      output: workflow(
        "const stamp = (item) => () => ctx.now().getTime(); stamp(order)(); keep.add(() => ctx.now().getTime()); return ctx.step('a', stamp(order));",
        {
          after:
            'class Keep { all = []; add(body) { this.all.push(body); } call() { for (const each of this.all) each(); } } const keep = new Keep();',
        },
      ),
      errors: [error, error],
    },
    'looks through casts': {
      code: workflow('return (Date as any).now() - (globalThis as any).Date!.now();'),
      output: workflow('return ctx.now().getTime() - ctx.now().getTime();'),
      errors: [error, error],
    },
    'finds an alias of Date': {
      code: workflow('const Clock = Date; return new Clock();'),
      output: workflow('const Clock = Date; return ctx.now();'),
      errors: [error],
    },
    'reports a destructured function once': {
      code: workflow('const { now } = Date; return now();'),
      output: workflow('const { now } = Date; return ctx.now().getTime();'),
      errors: [error],
    },
    'follows a method of a workflow that overrides one of its base class': {
      code: `import { Workflow } from 'nestjs-durable';
        class Base { run(input, ctx) { return this.stamp(); } stamp() { return 0; } }
        class Plain extends Base { stamp() { return Date.now(); } }
        class Middle extends Base {}
        @Workflow({ name: 'a' }) class A extends Middle { stamp() { return Date.now(); } }`,
      errors: [{ ...error, line: 5 }],
    },
    'finds the clock in closures': {
      code: workflow('return order.items.map((item) => item.at < Date.now());'),
      output: workflow('return order.items.map((item) => item.at < ctx.now().getTime());'),
      errors: [error],
    },
    'finds the clock in a function that is passed on and called': {
      code: workflow('return this.twice(() => Date.now());', { members: 'twice(body) { ctx.step("a", body); return body(); }' }),
      output: workflow('return this.twice(() => ctx.now().getTime());', { members: 'twice(body) { ctx.step("a", body); return body(); }' }),
      errors: [error],
    },
    'finds the clock in branches of a race': {
      code: workflow('return ctx.race({ a: async () => Date.now() });'),
      output: workflow('return ctx.race({ a: async () => ctx.now().getTime() });'),
      errors: [error],
    },
    'follows methods, and the context that they get': {
      code: workflow('return this.stamp(ctx);', {
        members: 'private stamp(context) { return this.#at(context); } #at(c) { return Date.now(); }',
      }),
      output: workflow('return this.stamp(ctx);', {
        members: 'private stamp(context) { return this.#at(context); } #at(c) { return c.now().getTime(); }',
      }),
      errors: [error],
    },
    'follows getters, function properties and static methods': {
      code: workflow('return [this.at, this.late(), OrderWorkflow.at()];', {
        members: 'get at() { return Date.now(); } late = () => Date.now(); static at() { return Date.now(); }',
      }),
      errors: [error, error, error],
    },
    'follows functions of the file, also when they are passed on': {
      code: workflow('return [stamp(), order.items.map(late), clock.now()];', {
        after:
          'function stamp() { return later(); } const later = () => Date.now(); const late = function () { return Date.now(); }; const clock = { now: () => Date.now(), unused: () => Date.now() };',
      }),
      errors: [error, error, error],
    },
    'takes the context by its type': {
      code: workflow('return stamp({}, ctx);', { after: 'function stamp(a, context: WorkflowContext) { return Date.now(); }' }),
      output: workflow('return stamp({}, ctx);', {
        after: 'function stamp(a, context: WorkflowContext) { return context.now().getTime(); }',
      }),
      errors: [error],
    },
    'follows a base class of the file': {
      code: `import { Workflow } from 'nestjs-durable';
        abstract class Base { run(input, ctx) { return this.stamp(); } abstract stamp(): number; }
        @Workflow({ name: 'a' }) class A extends Base { stamp() { return Date.now(); } }`,
      errors: [error],
    },
    'follows an injected class of the file, apart from its steps': {
      code: workflow('return [this.clock.now(), this.clock.recorded()];', {
        fields: 'constructor(private readonly clock: Clock) {}',
        after: 'class Clock { now() { return Date.now(); } @Step() async recorded() { return Date.now(); } }',
      }),
      errors: [error],
    },
    'knows the decorator under another name': {
      code: "import * as durable from 'nestjs-durable'; @durable.Workflow({ name: 'a' }) class A { run() { return Date.now(); } }",
      errors: [error],
    },
    'knows the decorator by a path': {
      code: "import { Workflow as Flow } from '../durable.js'; @Flow({ name: 'a' }) class A { run() { return Date.now(); } }",
      errors: [error],
    },
    'replaces in a function that run contains': {
      code: workflow('function stamp() { return Date.now(); } return stamp();'),
      output: workflow('function stamp() { return ctx.now().getTime(); } return stamp();'),
      errors: [error],
    },
  },
});
