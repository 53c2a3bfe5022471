import type { TSESTree } from '@typescript-eslint/utils';

import { isFunction, memberName, staticName, type FunctionNode, type Node } from './ast.js';

/** Returns true for a function in the value of a variable, directly or in an object or array. */
export function isHeld(fn: FunctionNode): boolean {
  for (let inner: Node = fn, outer: Node | undefined = fn.parent; outer; inner = outer, outer = outer.parent) {
    switch (outer.type) {
      case 'VariableDeclarator':
        return outer.init === inner;
      case 'Property':
      case 'ObjectExpression':
      case 'ArrayExpression':
      case 'TSAsExpression':
      case 'TSNonNullExpression':
      case 'TSSatisfiesExpression':
      case 'ConditionalExpression':
      case 'LogicalExpression':
        break;
      default:
        return false;
    }
  }
  return false;
}

/**
 * Returns true for a function that is executed as the body or the compensation of `step()`, or as
 * the compensation of `invoke()` or `invokeMany()`.
 */
export function isStepBody(node: Node): boolean {
  const isFunctionOrName = isFunction(node) || node.type === 'Identifier' || node.type === 'MemberExpression';
  if (!isFunctionOrName) return false;
  let isCalled = false;
  let property: string | undefined;
  for (let inner: Node = node, outer: Node | undefined = node.parent; outer; inner = outer, outer = outer.parent) {
    switch (outer.type) {
      case 'MemberExpression':
        if (memberName(outer) !== 'bind') return false;
        break;
      case 'CallExpression':
        // `this.stamp.bind(this)` and `bodyFor(order)` stand for the function that they return.
        if (outer.callee === inner) {
          isCalled ||= inner.type !== 'MemberExpression' || memberName(inner) !== 'bind';
          break;
        }
        return isPlaceOfBody(outer, inner, property);
      case 'Property':
        property = staticName(outer, outer.key);
        // `{ timeout: timeoutFor(order) }` executes the function before the step.
        if (outer.value !== inner || (isCalled && property !== 'compensate')) return false;
        break;
      case 'ConditionalExpression':
        if (outer.test === inner) return false;
        break;
      case 'ObjectExpression':
      case 'TSAsExpression':
      case 'TSNonNullExpression':
      case 'TSSatisfiesExpression':
      case 'LogicalExpression':
        break;
      default:
        return false;
    }
  }
  return false;
}

function isPlaceOfBody({ callee, arguments: given }: TSESTree.CallExpression, argument: Node, property: string | undefined): boolean {
  if (callee.type !== 'MemberExpression' || given.indexOf(argument as never) < 1) return false;
  const name = memberName(callee);
  return name === 'step' || ((name === 'invoke' || name === 'invokeMany') && property === 'compensate');
}
