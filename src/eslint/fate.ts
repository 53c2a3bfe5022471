import type { TSESTree } from '@typescript-eslint/utils';

import { enclosingFunction, memberName, type FunctionNode, type Node } from './ast.js';
import type { Names } from './names.js';

/** Methods of a promise that return another promise for the same work. */
const CHAINING = new Set(['then', 'catch', 'finally']);
/** Methods of an array that return what their callback returns. */
const MAPPING = new Set(['map', 'flatMap']);
const COMBINING = new Set(['Promise.all', 'Promise.allSettled', 'Promise.race', 'Promise.any', 'Promise.resolve']);

/**
 * Returns the node that drops the promise of an expression: a statement, `void`, a condition, a
 * variable that nothing reads, or a `forEach`. Returns undefined when code can still await the
 * promise.
 */
export function droppedBy(expression: Node, names: Names): Node | undefined {
  for (let node = expression, { parent } = expression; parent;) {
    const next = fateIn(parent, node, names);
    if (next === 'used') return undefined;
    if (next === 'dropped') return parent;
    node = next;
    parent = next.parent;
  }
  return undefined;
}

/** Returns the fate of a promise in its parent, or the outer expression that holds the promise. */
function fateIn(parent: Node, node: Node, names: Names): Node | 'used' | 'dropped' {
  switch (parent.type) {
    case 'ExpressionStatement':
      return 'dropped';
    case 'UnaryExpression':
      return parent.operator === 'void' || parent.operator === '!' ? 'dropped' : 'used';
    case 'IfStatement':
    case 'WhileStatement':
    case 'DoWhileStatement':
      return parent.test === node ? 'dropped' : 'used';
    case 'ConditionalExpression':
      return parent.test === node ? 'dropped' : parent;
    case 'SequenceExpression':
      return parent.expressions.at(-1) === node ? parent : 'dropped';
    case 'LogicalExpression':
    case 'ChainExpression':
    case 'TSAsExpression':
    case 'TSNonNullExpression':
    case 'TSSatisfiesExpression':
    case 'TSTypeAssertion':
    case 'ArrayExpression':
      return parent;
    case 'MemberExpression':
      return isCallee(parent) && CHAINING.has(memberName(parent) ?? '') ? parent.parent : 'used';
    case 'CallExpression':
      return COMBINING.has(names.origin(parent.callee) ?? '') ? parent : 'used';
    case 'VariableDeclarator':
      return parent.id.type === 'Identifier' && isNeverRead(parent.id, names) ? 'dropped' : 'used';
    case 'ArrowFunctionExpression':
      return parent.body === node ? fateOfCallback(parent) : 'used';
    case 'ReturnStatement':
      return fateOfReturn(parent);
    default:
      return 'used';
  }
}

function fateOfReturn(statement: TSESTree.ReturnStatement): Node | 'used' | 'dropped' {
  const fn = enclosingFunction(statement);
  return fn ? fateOfCallback(fn) : 'used';
}

/** Returns the fate of the promise that a callback returns. */
function fateOfCallback(fn: FunctionNode): Node | 'used' | 'dropped' {
  if (isForEachCallback(fn)) return 'dropped';
  const method = callbackMethod(fn);
  return method !== undefined && MAPPING.has(method) ? fn.parent : 'used';
}

/**
 * Returns the node that drops the promise of an inline async function: one that `forEach` or a
 * `map` calls, or one that is called where it stands.
 */
export function asyncDroppedBy(fn: FunctionNode, names: Names): Node | undefined {
  if (isForEachCallback(fn)) return fn.parent;
  const isCalled = fn.parent.type === 'CallExpression' && fn.parent.callee === fn;
  return isCalled || MAPPING.has(callbackMethod(fn) ?? '') ? droppedBy(fn.parent, names) : undefined;
}

export function isForEachCallback(fn: FunctionNode): boolean {
  return callbackMethod(fn) === 'forEach';
}

function callbackMethod(fn: FunctionNode): string | undefined {
  const { parent } = fn;
  if (parent.type !== 'CallExpression' || parent.arguments[0] !== fn || parent.callee.type !== 'MemberExpression') return undefined;
  return memberName(parent.callee);
}

function isCallee(node: TSESTree.MemberExpression): node is TSESTree.MemberExpression & { parent: TSESTree.CallExpression } {
  return node.parent.type === 'CallExpression' && node.parent.callee === node;
}

function isNeverRead(identifier: TSESTree.Identifier, names: Names): boolean {
  const variable = names.variable(identifier);
  // An exported variable may be read elsewhere, but workflow code cannot export one.
  return variable !== undefined && !variable.references.some((reference) => reference.isRead());
}
