import type { TSESTree } from '@typescript-eslint/utils';

import { isFunction, memberName, staticName, unwrap, type FunctionNode, type Node, type Variable } from './ast.js';
import { keyOf, type Names } from './names.js';

/** Place from which code takes a function: a list, or objects with a property of that name. */
type Place = Variable | string;

const ADDING = new Set(['push', 'unshift']);
/** Longest chain such as `[...undo].reverse().entries()`. */
const MAX_DEPTH = 10;

/**
 * Bodies of steps that a file keeps in objects or lists, as in
 * `for (const { name, body } of tasks) await ctx.step(name, body)`.
 *
 * A place counts only if no code of the file calls a function from there.
 */
export class ListedBodies {
  private readonly places = new Set<Place>();

  constructor(
    private readonly names: Names,
    calls: readonly TSESTree.CallExpression[],
  ) {
    const called = new Set<Place | undefined>();
    for (const { callee, arguments: given } of calls) {
      const isStep = callee.type === 'MemberExpression' && memberName(callee) === 'step';
      if (!isStep) called.add(this.placeOf(callee));
      for (const each of isStep ? given.slice(1) : []) {
        const place = this.placeOf(each);
        if (place !== undefined) this.places.add(place);
      }
    }
    for (const each of called) if (each !== undefined) this.places.delete(each);
  }

  /** Returns true for a function in a place of bodies. */
  includes(fn: FunctionNode): boolean {
    if (this.places.size === 0) return false;
    const { parent } = fn;
    if (parent.type === 'Property') {
      const name = parent.value === fn ? staticName(parent, parent.key) : undefined;
      return name !== undefined && this.places.has(name);
    }
    const list = this.listThatGets(fn);
    return list !== undefined && this.places.has(list);
  }

  /** Returns the place from which an expression reads a function. */
  private placeOf(expression: Node): Place | undefined {
    const inner = unwrap(expression);
    if (inner.type === 'MemberExpression') return inner.object.type === 'ThisExpression' ? undefined : memberName(inner);
    const variable = inner.type === 'Identifier' ? this.names.variable(inner) : undefined;
    const definition = variable?.defs[0]?.node;
    if (!variable || !definition) return undefined;
    if (isFunction(definition)) return this.placeOfParameter(definition, variable);
    if (definition.type !== 'VariableDeclarator') return undefined;
    if (definition.id.type === 'ObjectPattern') return keyOf(definition.id, variable);
    const loop = definition.parent.parent;
    return loop?.type === 'ForOfStatement' && loop.left === definition.parent ? this.root(loop.right) : undefined;
  }

  private placeOfParameter(fn: FunctionNode, variable: Variable): Place | undefined {
    for (const parameter of fn.params) {
      const key = keyOf(parameter, variable);
      if (key !== undefined) return key;
    }
    // `undo.map((body) => ctx.step('undo', body))`
    const [first] = fn.params;
    const isFirst = variable.identifiers.some((identifier) => identifier === first);
    const { parent } = fn;
    const isCallback = parent.type === 'CallExpression' && parent.arguments[0] === fn && parent.callee.type === 'MemberExpression';
    return isFirst && isCallback ? this.root(parent.callee) : undefined;
  }

  /** Returns the variable that holds the list of `[...undo].reverse()`. */
  private root(list: Node, depth = 0): Variable | undefined {
    if (depth > MAX_DEPTH) return undefined;
    const inner = unwrap(list);
    if (inner.type === 'Identifier') return this.names.variable(inner);
    if (inner.type === 'CallExpression') return this.root(inner.callee, depth + 1);
    if (inner.type === 'MemberExpression') return this.root(inner.object, depth + 1);
    const [first] = inner.type === 'ArrayExpression' ? inner.elements : [];
    return first?.type === 'SpreadElement' ? this.root(first.argument, depth + 1) : undefined;
  }

  /** Returns the list to which a function is added, or in whose initial value the function is. */
  private listThatGets({ parent }: FunctionNode): Variable | undefined {
    if (parent.type === 'CallExpression' && parent.callee.type === 'MemberExpression') {
      return ADDING.has(memberName(parent.callee) ?? '') ? this.root(parent.callee) : undefined;
    }
    // `const bodies = items.map((item) => () => load(item))`
    const list = parent.type === 'ArrowFunctionExpression' ? parent.parent : parent;
    const declarator = list.parent;
    if (declarator?.type !== 'VariableDeclarator' || declarator.init !== list) return undefined;
    return declarator.id.type === 'Identifier' ? this.names.variable(declarator.id) : undefined;
  }
}
