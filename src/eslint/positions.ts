import { isFunction, memberName, staticName, type FunctionNode, type Node } from './ast.js';

/** Returns true for a function that is the value of a variable, or in an object or array of one. */
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

/** Returns true for an argument of `step()` that is executed as its body or as its compensation. */
export function isStepBody(node: Node): boolean {
  const isFunctionOrName = isFunction(node) || node.type === 'Identifier' || node.type === 'MemberExpression';
  if (!isFunctionOrName) return false;
  let isCalled = false;
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
        return (
          outer.callee.type === 'MemberExpression' && memberName(outer.callee) === 'step' && outer.arguments.indexOf(inner as never) > 0
        );
      case 'Property':
        // `{ timeout: timeoutFor(order) }` executes the function before the step.
        if (outer.value !== inner || (isCalled && staticName(outer, outer.key) !== 'compensate')) return false;
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
