import { testRule, workflow } from '../../../test/support/lint-rules.js';

const error = { messageId: 'database' };
const IMPORTS = "import { DataSource, EntityManager, Repository } from 'typeorm'; import { InjectRepository } from '@nestjs/typeorm';";
const ORDERS = { imports: IMPORTS, fields: 'constructor(@InjectRepository(Order) private readonly orders: Repository<Order>) {}' };
const SOURCE = { imports: IMPORTS, fields: 'private readonly source: DataSource;' };

testRule('no-database', {
  valid: {
    'allows repositories in steps': workflow("return ctx.step('find', () => this.orders.find());", {
      ...ORDERS,
      members: '@Step() async load() { return this.orders.find(); }',
    }),
    'allows members that send no statement': workflow(
      "const orders = this.source.getRepository(Order); return ctx.step('find', () => orders.find());",
      SOURCE,
    ),
    'allows a method in the place of a body': workflow("return ctx.step('find', this.orders.find.bind(this.orders));", ORDERS),
    'allows a custom repository': workflow("const orders = this.orders.extend({}); return ctx.step('find', () => orders.find());", ORDERS),
    'allows new entities': workflow('return this.orders.create({ id: order.id });', ORDERS),
    'allows a destructured repository in a body': workflow(
      "const { orders } = this; return ctx.step('find', () => orders.find());",
      ORDERS,
    ),
    'allows a class of another module': workflow('return this.orders.find();', {
      imports: "import { Repository } from './memory.js';",
      fields: 'constructor(private readonly orders: Repository<Order>) {}',
    }),
    'allows code that refers to itself': workflow('const a = a.manager; return a.find();', {
      imports: IMPORTS,
      after: 'class B extends B {}',
    }),
    'allows an injected service': workflow('return this.orders.find();', {
      imports: "import { OrderRepository } from './orders.js';",
      fields: 'constructor(private readonly orders: OrderRepository) {}',
    }),
    'allows steps of a repository of the file': workflow('return this.orders.open();', {
      imports: IMPORTS,
      fields: 'constructor(private readonly orders: Orders) {}',
      after: 'class Orders extends Repository<Order> { @Step() async open() { return this.find(); } }',
    }),
  },
  invalid: {
    'knows a destructured EntityManager': {
      code: workflow('const { manager } = this.source; return manager.save(order);', SOURCE),
      errors: [error],
    },
    'suggests a step for an awaited call': {
      code: workflow('return (await this.orders.findBy({ id: order.id })).length;', ORDERS),
      errors: [
        {
          ...error,
          suggestions: [
            {
              messageId: 'step',
              output: workflow("return (await ctx.step('findBy', () => this.orders.findBy({ id: order.id }))).length;", ORDERS),
            },
          ],
        },
      ],
    },
    'suggests nothing for a call that is not awaited': { code: workflow('return this.orders.find();', ORDERS), errors: [error] },
    'knows the decorator without a type': {
      code: workflow('return this.orders.save(order);', { imports: IMPORTS, fields: '@InjectRepository(Order) orders;' }),
      errors: [error],
    },
    'knows EntityManager and DataSource': {
      code: workflow('return [this.source.query(sql), this.source.manager.find(Order), this.source.getRepository(Order).find()];', SOURCE),
      errors: [error, error, error],
    },
    'follows aliases': {
      code: workflow(
        'const { source } = this; const orders = source.getRepository(Order); return [orders.find(), source.query(sql)];',
        SOURCE,
      ),
      errors: [error, error],
    },
    'finds parameters of functions of the file': {
      code: workflow('return load(this.source.manager);', {
        ...SOURCE,
        after: 'function load(manager: EntityManager | undefined) { return manager?.find(Order); }',
      }),
      errors: [error],
    },
    'finds a DataSource of the file': {
      code: workflow('return source.query(sql);', { imports: IMPORTS, after: 'const source = new DataSource({});' }),
      errors: [error],
    },
    'finds repositories of the file': {
      code: workflow('return this.orders.find();', {
        imports: IMPORTS,
        fields: 'constructor(private readonly orders: Orders) {}',
        after: 'class Orders extends Repository<Order> {}',
      }),
      errors: [error],
    },
  },
});
