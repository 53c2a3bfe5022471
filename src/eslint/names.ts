import type { TSESLint, TSESTree } from '@typescript-eslint/utils';

import { memberName, staticName, unwrap, type Node, type SourceCode, type Variable } from './ast.js';

const GLOBAL_OBJECTS = new Set(['globalThis', 'global', 'window', 'self']);
const MAX_ALIASES = 10;

/**
 * Names of a file: which variable an identifier means, and what an expression stands for.
 *
 * An expression stands for a global such as `Date.now`, or for an export of a module such as
 * `crypto:randomUUID`. Aliases, imports, `require` and destructuring are followed. A name that the
 * file declares itself stands for nothing.
 */
export class Names {
  private readonly references = new Map<Node, TSESLint.Scope.Reference>();

  constructor(sourceCode: SourceCode) {
    for (const scope of sourceCode.scopeManager?.scopes ?? []) {
      for (const reference of scope.references) this.references.set(reference.identifier, reference);
    }
  }

  /** References to values, in the order of their scopes. */
  values(): TSESLint.Scope.Reference[] {
    return [...this.references.values()].filter((reference) => !reference.isTypeReference || reference.isValueReference);
  }

  /** Returns the variable that the file declares for an identifier. */
  variable(node: Node): Variable | undefined {
    const variable = this.references.get(node)?.resolved;
    return variable && variable.defs.length > 0 ? variable : undefined;
  }

  /** Returns true for an identifier whose value is read, unlike the name in a declaration. */
  isRead(node: Node): boolean {
    return this.references.get(node)?.isRead() ?? false;
  }

  /** Returns what an expression or a type's name stands for. */
  origin(node: Node, aliases = 0): string | undefined {
    const inner = unwrap(node);
    if (inner.type === 'MemberExpression') return join(this.origin(inner.object, aliases), memberName(inner));
    if (inner.type === 'TSQualifiedName') return join(this.origin(inner.left, aliases), inner.right.name);
    const module = this.moduleOf(inner);
    if (module !== undefined) return module;
    if (inner.type === 'CallExpression') return this.promisified(inner, aliases);
    if (inner.type !== 'Identifier' || !this.references.has(inner)) return undefined;
    const variable = this.variable(inner);
    if (!variable) return GLOBAL_OBJECTS.has(inner.name) ? '' : inner.name;
    return aliases < MAX_ALIASES ? this.definition(variable, aliases + 1) : undefined;
  }

  /** Returns what `require(...)` or `await import(...)` stands for. */
  moduleOf(node: Node): string | undefined {
    if (node.type === 'CallExpression') return this.required(node);
    return node.type === 'AwaitExpression' && node.argument.type === 'ImportExpression' ? moduleAt(node.argument.source) : undefined;
  }

  private definition(variable: Variable, aliases: number): string | undefined {
    const definition = variable.defs[0];
    if (variable.defs.length !== 1 || !definition) return undefined;
    const { node } = definition;
    if (node.type === 'ImportSpecifier') {
      const { imported } = node;
      return exportOf(moduleOf(definition), imported.type === 'Identifier' ? imported.name : imported.value);
    }
    if (node.type === 'ImportDefaultSpecifier') return exportOf(moduleOf(definition), 'default');
    if (node.type === 'ImportNamespaceSpecifier') return exportOf(moduleOf(definition), '*');
    if (node.type === 'TSImportEqualsDeclaration') {
      const { moduleReference } = node;
      return moduleReference.type === 'TSExternalModuleReference' ? moduleAt(moduleReference.expression) : undefined;
    }
    if (node.type !== 'VariableDeclarator' || !node.init || !isConstant(variable)) return undefined;
    if (node.id.type === 'Identifier') return this.origin(node.init, aliases);
    const key = keyOf(node.id, variable);
    return key === undefined ? undefined : join(this.origin(node.init, aliases), key);
  }

  private required(call: TSESTree.CallExpression): string | undefined {
    const [module] = call.arguments;
    if (call.callee.type !== 'Identifier' || call.callee.name !== 'require' || this.variable(call.callee)) return undefined;
    return module && moduleAt(module);
  }

  /** Returns what `promisify(randomBytes)` stands for. */
  private promisified(call: TSESTree.CallExpression, aliases: number): string | undefined {
    const [fn] = call.arguments;
    if (!fn || this.origin(call.callee, aliases) !== 'util:promisify') return undefined;
    const origin = this.origin(fn, aliases);
    return origin === 'setTimeout' || origin === 'timers:setTimeout' ? 'timers/promises:setTimeout' : origin;
  }
}

/** Returns the key under which an object pattern takes a variable's value. */
export function keyOf(pattern: Node, variable: Variable): string | undefined {
  if (pattern.type !== 'ObjectPattern') return undefined;
  for (const property of pattern.properties) {
    if (property.type !== 'Property') continue;
    const target = property.value.type === 'AssignmentPattern' ? property.value.left : property.value;
    if (variable.identifiers.some((identifier) => identifier === target)) return staticName(property, property.key);
  }
  return undefined;
}

/** Returns true when nothing but its declaration writes a variable. */
export function isConstant(variable: Variable): boolean {
  return variable.references.every((reference) => !reference.isWrite() || reference.init === true);
}

/** Returns what all exports of a module stand for together, where the code states the module. */
function moduleAt(source: Node): string | undefined {
  return source.type === 'Literal' && typeof source.value === 'string' ? exportOf(source.value, '*') : undefined;
}

function moduleOf(definition: TSESLint.Scope.Definition): string {
  const { parent } = definition;
  return parent?.type === 'ImportDeclaration' ? parent.source.value : '';
}

function exportOf(module: string, name: string): string {
  return `${module.replace(/^node:/, '')}:${name}`;
}

/** Adds a member. The default export of a module stands for the module, as with Node's own. */
function join(origin: string | undefined, member: string | undefined): string | undefined {
  if (origin === undefined || member === undefined) return undefined;
  if (origin === '') return GLOBAL_OBJECTS.has(member) ? '' : member;
  if (/:(?:\*|default)$/.test(origin)) return member === 'default' ? origin : origin.replace(/:.*$/, `:${member}`);
  return `${origin}.${member}`;
}
