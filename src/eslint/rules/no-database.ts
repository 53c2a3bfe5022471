import type { TSESTree } from '@typescript-eslint/utils';

import { isClass, memberName, unwrap, type Node } from '../ast.js';
import { decoratorName } from '../classes.js';
import { suggestStep } from '../replacements.js';
import { keyOf } from '../names.js';
import { makeRule } from '../rule.js';
import type { WorkflowCode } from '../workflow-code.js';

const TYPES = new Set([
  'Repository',
  'TreeRepository',
  'MongoRepository',
  'EntityManager',
  'MongoEntityManager',
  'DataSource',
  'QueryRunner',
]);
const DECORATORS = new Set(['InjectRepository', 'InjectEntityManager', 'InjectDataSource']);
/** Longest chain of aliases, members and base classes; the code may refer to itself. */
const MAX_DEPTH = 10;
/** Members that lead to another object for the same database, without a statement. */
const LEADING = new Set([
  'manager',
  'getRepository',
  'getTreeRepository',
  'getMongoRepository',
  'withRepository',
  'createQueryRunner',
  'createEntityManager',
]);
/** Members that send no statement. */
const HARMLESS = new Set([
  'create',
  'merge',
  'extend',
  'getId',
  'hasId',
  'metadata',
  'getMetadata',
  'hasMetadata',
  'target',
  'options',
  'isInitialized',
  'name',
]);

export const noDatabase = makeRule({
  description: 'Forbids TypeORM in the code of a workflow: a replay reads other rows and writes again.',
  messages: {
    database: 'Each replay executes {{name}}() again, and nothing records the result. Make the call in a step.',
    step: "Make the call in a step named '{{name}}', which records the result.",
  },
  hasSuggestions: true,
  check: (code, context) => ({
    MemberExpression(node) {
      const name = memberName(node);
      if (name === undefined || HARMLESS.has(name) || LEADING.has(name)) return;
      if (!code.includes(node) || code.isPassedAsBody(node) || !isDatabase(node.object, code)) return;
      if (code.classes.membersOf(node).some(({ isStep }) => isStep)) return;
      const isCall = node.parent.type === 'CallExpression' && node.parent.callee === node;
      const suggest =
        isCall && node.parent.parent?.type === 'AwaitExpression' ? suggestStep(code, context.sourceCode, node.parent, name) : [];
      context.report({ node, messageId: 'database', data: { name: context.sourceCode.getText(node) }, suggest });
    },
  }),
});

/** Returns true for an expression that is a repository, an EntityManager or a DataSource. */
function isDatabase(expression: Node, code: WorkflowCode, depth = 0): boolean {
  if (depth > MAX_DEPTH) return false;
  const inner = unwrap(expression);
  const declared = code.classes.declared(inner);
  if (declared?.decorators.some(({ expression: each }) => isExport(code.names.origin(decoratorName(each)), DECORATORS))) return true;
  if (declared?.type && isDatabaseType(declared.type, code)) return true;
  const path = inner.type === 'CallExpression' ? unwrap(inner.callee) : inner;
  if (path.type === 'MemberExpression' && LEADING.has(memberName(path) ?? '')) return isDatabase(path.object, code, depth + 1);
  return inner.type === 'Identifier' && isAliasOfDatabase(inner, code, depth + 1);
}

/** Returns true for `const orders = source.getRepository(Order)`, `const { manager } = source`. */
function isAliasOfDatabase(identifier: TSESTree.Identifier, code: WorkflowCode, depth: number): boolean {
  const variable = code.names.variable(identifier);
  const definition = variable?.defs[0]?.node;
  if (!variable || definition?.type !== 'VariableDeclarator' || !definition.init) return false;
  if (definition.id.type === 'ObjectPattern') {
    return LEADING.has(keyOf(definition.id, variable) ?? '') && isDatabase(definition.init, code, depth);
  }
  if (definition.id.type !== 'Identifier') return false;
  const init = unwrap(definition.init);
  const value = init.type === 'AwaitExpression' ? unwrap(init.argument) : init;
  return (value.type === 'CallExpression' || value.type === 'MemberExpression') && isDatabase(value, code, depth);
}

function isDatabaseType(type: Node, code: WorkflowCode, depth = 0): boolean {
  if (isExport(code.names.origin(type), TYPES)) return true;
  const definition = code.names.variable(type)?.defs[0]?.node;
  return (
    depth < MAX_DEPTH && isClass(definition) && definition.superClass !== null && isDatabaseType(definition.superClass, code, depth + 1)
  );
}

function isExport(origin: string | undefined, names: ReadonlySet<string>): boolean {
  const [module, name] = (origin ?? '').split(':');
  return (module === 'typeorm' || module === '@nestjs/typeorm') && names.has(name ?? '');
}
