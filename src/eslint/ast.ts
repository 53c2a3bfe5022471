import type { TSESLint, TSESTree } from '@typescript-eslint/utils';

export type Node = TSESTree.Node;
export type SourceCode = TSESLint.SourceCode;
export type Variable = TSESLint.Scope.Variable;
export type ClassNode = TSESTree.ClassDeclaration | TSESTree.ClassExpression;
/** A function with a body. Abstract methods and overload signatures are other nodes. */
export type FunctionNode = TSESTree.FunctionDeclaration | TSESTree.FunctionExpression | TSESTree.ArrowFunctionExpression;

export function isFunction(node: Node | null | undefined): node is FunctionNode {
  const type = node?.type;
  return type === 'FunctionDeclaration' || type === 'FunctionExpression' || type === 'ArrowFunctionExpression';
}

export function isClass(node: Node | null | undefined): node is ClassNode {
  return node?.type === 'ClassDeclaration' || node?.type === 'ClassExpression';
}

type Wrapper =
  | TSESTree.TSAsExpression
  | TSESTree.TSNonNullExpression
  | TSESTree.TSSatisfiesExpression
  | TSESTree.TSTypeAssertion
  | TSESTree.ChainExpression;

/** Returns true for a node with the value of its inner expression, such as `x as T` and `x!`. */
function isWrapper(node: Node | undefined): node is Wrapper {
  switch (node?.type) {
    case 'TSAsExpression':
    case 'TSNonNullExpression':
    case 'TSSatisfiesExpression':
    case 'TSTypeAssertion':
    case 'ChainExpression':
      return true;
    default:
      return false;
  }
}

/** Returns an expression with the casts, `!` and optional chains around the expression. */
export function wrapped(node: Node): Node {
  return isWrapper(node.parent) ? wrapped(node.parent) : node;
}

/** Returns the expression inside of casts, `!` and optional chains. */
export function unwrap(node: Node): Node {
  return isWrapper(node) ? unwrap(node.expression) : node;
}

/** Returns the name of a member, a property or a key, where the code states it. */
export function staticName(node: { computed?: boolean }, key: Node): string | undefined {
  if (key.type === 'Literal' && typeof key.value === 'string') return key.value;
  if (key.type === 'PrivateIdentifier') return `#${key.name}`;
  return key.type === 'Identifier' && node.computed !== true ? key.name : undefined;
}

export function memberName(node: TSESTree.MemberExpression): string | undefined {
  return staticName(node, node.property);
}

/** Returns the innermost function around a node, other than the node itself. */
export function enclosingFunction(node: Node): FunctionNode | undefined {
  for (let outer = node.parent; outer; outer = outer.parent) if (isFunction(outer)) return outer;
  return undefined;
}

/** Returns the class whose instance `this` is at a node. */
export function classOfThis(node: Node): ClassNode | undefined {
  for (let inner = node, outer = node.parent; outer; inner = outer, outer = outer.parent) {
    if (outer.type === 'ClassBody') return outer.parent;
    const hasOwnThis = outer.type === 'FunctionDeclaration' || outer.type === 'FunctionExpression';
    if (hasOwnThis && outer.parent?.type !== 'MethodDefinition') return undefined;
    // A decorator or a computed key of a member belongs to the code around the class.
    if (outer.type === 'MethodDefinition' && inner !== outer.value) return undefined;
  }
  return undefined;
}

/** Calls `visit` for a node and all nodes in it. A result of false leaves out the nodes inside. */
export function walk(node: Node, sourceCode: SourceCode, visit: (node: Node) => boolean): void {
  if (!visit(node)) return;
  const children = node as unknown as Record<string, Node | (Node | null)[] | null | undefined>;
  for (const key of sourceCode.visitorKeys[node.type] ?? []) {
    const child = children[key];
    if (Array.isArray(child)) {
      for (const each of child) if (each) walk(each, sourceCode, visit);
    } else if (child) walk(child, sourceCode, visit);
  }
}
