import type { TSESTree } from '@typescript-eslint/utils';

import { isFunction, memberName, staticName, unwrap, type FunctionNode, type Node, type Variable } from './ast.js';
import { keyOf, type Names } from './names.js';

/** Source of a function: a list, a function that returns functions, or the name of a property. */
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
  includes(fn: Node): boolean {
    const { parent } = fn;
    if (this.places.size === 0 || !parent) return false;
    if (parent.type !== 'Property') return this.isPlace(this.placeThatGets(fn, parent));
    if (parent.value !== fn) return false;
    // `{ refund: () => refund(order) }` is a place too, if steps execute each of its properties.
    return this.isPlace(staticName(parent, parent.key)) || this.isPlace(this.declared(parent.parent));
  }

  private isPlace(place: Place | undefined): boolean {
    return place !== undefined && this.places.has(place);
  }

  /** Returns the place from which an expression reads a function. */
  private placeOf(expression: Node): Place | undefined {
    const inner = unwrap(expression);
    if (inner.type === 'MemberExpression') {
      if (inner.object.type === 'ThisExpression') return undefined;
      return memberName(inner) ?? this.root(inner.object);
    }
    // `load(order)` returns a body.
    if (inner.type === 'CallExpression') return this.names.variable(inner.callee);
    const variable = inner.type === 'Identifier' ? this.names.variable(inner) : undefined;
    const definition = variable?.defs[0]?.node;
    if (!variable || !definition) return undefined;
    if (isFunction(definition)) return this.placeOfParameter(definition, variable);
    if (definition.type !== 'VariableDeclarator') return undefined;
    if (definition.id.type === 'ObjectPattern') return keyOf(definition.id, variable);
    const loop = definition.parent.parent;
    if (loop?.type === 'ForOfStatement' && loop.left === definition.parent) return this.root(loop.right);
    const init = definition.init && unwrap(definition.init);
    const isMade = init?.type === 'CallExpression' || (init?.type === 'MemberExpression' && init.computed);
    return isMade && definition.id.type === 'Identifier' ? this.placeOf(init) : undefined;
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

  /** Returns the variable or the field that holds the list of `[...undo].reverse()`. */
  private root(list: Node, depth = 0): Place | undefined {
    if (depth > MAX_DEPTH) return undefined;
    const inner = unwrap(list);
    if (inner.type === 'Identifier') return this.names.variable(inner);
    if (inner.type === 'CallExpression') {
      const isOfObject = /^Object\.(?:entries|values)$/.test(this.names.origin(inner.callee) ?? '');
      return this.root(isOfObject && inner.arguments[0] ? inner.arguments[0] : inner.callee, depth + 1);
    }
    if (inner.type === 'MemberExpression') {
      if (inner.object.type === 'ThisExpression') return `this.${memberName(inner)}`;
      return this.root(inner.object, depth + 1);
    }
    const [first] = inner.type === 'ArrayExpression' ? inner.elements : [];
    return first?.type === 'SpreadElement' ? this.root(first.argument, depth + 1) : undefined;
  }

  /** Returns the list that gets a function, or the variable whose value contains the function. */
  private placeThatGets(fn: Node, parent: Node): Place | undefined {
    if (parent.type === 'CallExpression' && parent.callee.type === 'MemberExpression') {
      return parent.callee !== fn && ADDING.has(memberName(parent.callee) ?? '') ? this.root(parent.callee) : undefined;
    }
    if (parent.type !== 'ArrowFunctionExpression') return this.declared(parent);
    // `items.map((item) => () => load(item))`, or `const load = (item) => () => load(item)`
    return this.declared(parent) ?? (parent.parent.type === 'CallExpression' ? this.declared(parent.parent) : undefined);
  }

  /** Returns the variable whose initial value is the node. */
  private declared(node: Node): Variable | undefined {
    const { parent } = node;
    if (parent?.type !== 'VariableDeclarator' || parent.init !== node) return undefined;
    return parent.id.type === 'Identifier' ? this.names.variable(parent.id) : undefined;
  }
}
