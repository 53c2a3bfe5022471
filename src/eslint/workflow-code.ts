import type { TSESTree } from '@typescript-eslint/utils';

import {
  enclosingFunction,
  isClass,
  isFunction,
  memberName,
  unwrap,
  walk,
  wrapped,
  type ClassNode,
  type FunctionNode,
  type Node,
  type SourceCode,
  type Variable,
} from './ast.js';
import { Classes, typeName } from './classes.js';
import { ListedBodies } from './listed-bodies.js';
import { Names } from './names.js';
import { isHeld, isStepBody } from './positions.js';

/** An expression in the code of a workflow that stands for a global or an export of a module. */
export interface Use {
  node: Node;
  origin: string;
}

const analyses = new WeakMap<Node, WorkflowCode>();

/** Returns the analysis of a file, which all rules share. */
export function workflowCodeOf(sourceCode: SourceCode): WorkflowCode {
  let analysis = analyses.get(sourceCode.ast);
  if (!analysis) analyses.set(sourceCode.ast, (analysis = new WorkflowCode(sourceCode)));
  return analysis;
}

/**
 * Code of a file that a replay executes again: `run` of each workflow, and the functions of the
 * file that `run` reaches, without the bodies of steps.
 */
export class WorkflowCode {
  readonly names: Names;
  readonly classes: Classes;
  /** Uses of globals and modules, in the order of the file. */
  readonly uses: readonly Use[];
  private readonly bodies: ListedBodies;
  private readonly reached = new Set<FunctionNode>();
  private readonly contexts = new Set<Variable>();
  private readonly pending: FunctionNode[] = [];
  /** Modules that reached code loads where it uses them: `await import('node:crypto')`. */
  private readonly loaded = new Set<Node>();

  constructor(private readonly sourceCode: SourceCode) {
    const classes: ClassNode[] = [];
    const functions: FunctionNode[] = [];
    const calls: TSESTree.CallExpression[] = [];
    // Most files of an application have no workflow, and need no walk.
    if (sourceCode.text.includes('Workflow')) {
      walk(sourceCode.ast, sourceCode, (node) => {
        if (isClass(node)) classes.push(node);
        if (isFunction(node)) functions.push(node);
        if (node.type === 'CallExpression') calls.push(node);
        return true;
      });
    }
    this.names = new Names(sourceCode);
    this.bodies = new ListedBodies(this.names, calls);
    this.classes = new Classes(this.names, classes);
    for (const each of functions) this.addTypedContexts(each);
    for (const each of classes) if (this.classes.isDecorated(each, 'Workflow')) this.addWorkflow(each);
    for (let next = this.pending.pop(); next; next = this.pending.pop()) this.follow(next);
    this.uses = this.reached.size > 0 ? this.collectUses() : [];
  }

  /** Returns true when a replay executes the node again. */
  includes(node: Node): boolean {
    const around = this.reached.size > 0 ? enclosingFunction(node) : undefined;
    return around !== undefined && this.reached.has(around);
  }

  /** Returns true for an identifier that is a workflow's context. */
  isContext(node: Node): boolean {
    const variable = this.names.variable(unwrap(node));
    return variable !== undefined && this.contexts.has(variable);
  }

  /** Returns the name of a context that the code at a node can use. */
  contextAt(node: Node): string | undefined {
    const shadowed = new Set<string>();
    for (let scope = this.scopeAt(node); scope; scope = scope.upper) {
      for (const variable of scope.variables) {
        // The default value of a parameter cannot use a later parameter.
        const isEarlier = variable.identifiers.some(({ range }) => range[0] < node.range[0]);
        if (isEarlier && isPresent(variable) && this.contexts.has(variable) && !shadowed.has(variable.name)) return variable.name;
        shadowed.add(variable.name);
      }
    }
    return undefined;
  }

  private scopeAt(node: Node): ReturnType<SourceCode['getScope']> | null {
    return this.sourceCode.getScope(node);
  }

  private addWorkflow(owner: ClassNode): void {
    for (const { fn, isStep } of this.classes.members(owner, 'run')) {
      if (isStep) continue;
      this.addContext(fn, 1);
      this.reach(fn);
    }
  }

  private addTypedContexts(fn: FunctionNode): void {
    for (const [index, each] of fn.params.entries()) {
      const parameter = identifierOf(each);
      const type = parameter && typeName(parameter);
      if (type?.type === 'Identifier' && type.name === 'WorkflowContext') this.addContext(fn, index);
    }
  }

  /** Marks a parameter as a workflow's context. Returns true when the parameter was not one yet. */
  private addContext(fn: FunctionNode, index: number): boolean {
    const variable = this.parameter(fn, index);
    if (!variable || this.contexts.has(variable)) return false;
    this.contexts.add(variable);
    return true;
  }

  private reach(fn: FunctionNode): void {
    if (this.reached.has(fn)) return;
    this.reached.add(fn);
    this.pending.push(fn);
  }

  /** Reaches the functions that a reached function contains, calls or passes on. */
  private follow(fn: FunctionNode): void {
    walk(fn, this.sourceCode, (node) => {
      if (node === fn) return true;
      if (isStepBody(node) || this.isBodyOfWrapper(node)) return false;
      if (isFunction(node)) {
        // A function with a name is reached where the name is used.
        if (node.type !== 'FunctionDeclaration' && !isHeld(node) && !this.bodies.includes(node)) this.reach(node);
        return false;
      }
      if (isClass(node)) return false;
      const isModule = node.type === 'AwaitExpression' || (node.type === 'CallExpression' && node.callee.type === 'Identifier');
      if (isModule && this.names.moduleOf(node) !== undefined) this.loaded.add(node);
      for (const target of this.targets(node)) {
        this.reach(target);
        if (node.parent?.type === 'CallExpression' && node.parent.callee === node) this.passContexts(node.parent, target);
      }
      return true;
    });
  }

  /** Returns true for an argument that a function of the file only passes on as a step's body. */
  private isBodyOfWrapper(node: Node): boolean {
    const { parent: call } = node;
    const index = call?.type === 'CallExpression' ? call.arguments.findIndex((argument) => argument === node) : -1;
    if (call?.type !== 'CallExpression' || index < 0) return false;
    const wrappers = this.targets(call.callee);
    return wrappers.length > 0 && wrappers.every((wrapper) => this.isPassedToStep(wrapper, index));
  }

  private isPassedToStep(fn: FunctionNode, index: number): boolean {
    const reads = this.parameter(fn, index)?.references.filter((reference) => reference.isRead()) ?? [];
    return (
      reads.length > 0 &&
      reads.every(
        ({ identifier }) => isStepBody(identifier) || isStepBody(enclosingFunction(identifier)!) || this.bodies.includes(identifier),
      )
    );
  }

  private parameter(fn: FunctionNode, index: number): Variable | undefined {
    const parameter = fn.params[index] && identifierOf(fn.params[index]);
    const declared = this.sourceCode.getDeclaredVariables?.(fn) ?? [];
    return parameter && declared.find((each) => each.identifiers.some((identifier) => identifier === parameter));
  }

  private passContexts(call: TSESTree.CallExpression, target: FunctionNode): void {
    for (const [index, argument] of call.arguments.entries()) {
      if (this.isContext(argument) && this.addContext(target, index)) this.pending.push(target);
    }
  }

  /** Returns the functions of the file, other than steps, that an expression names or makes. */
  targets(node: Node): FunctionNode[] {
    if (node.type === 'NewExpression') return this.classes.constructorsOf(node.callee);
    if (node.type === 'MemberExpression') {
      return this.classes.membersOf(node).flatMap(({ fn, isStep }) => (isStep ? [] : [fn]));
    }
    const variable = node.type === 'Identifier' && this.names.isRead(node) ? this.names.variable(node) : undefined;
    return (variable?.defs ?? []).flatMap(({ node: definition }) => {
      if (isFunction(definition)) return definition.type === 'FunctionDeclaration' ? [definition] : [];
      if (definition.type !== 'VariableDeclarator' || !definition.init) return [];
      return this.heldFunctions(definition.init, node.parent);
    });
  }

  /** Returns the functions in the initial value of a variable. */
  private heldFunctions(init: Node, use: Node | undefined): FunctionNode[] {
    const value = unwrap(init);
    const name = use?.type === 'MemberExpression' ? memberName(use) : undefined;
    const found: FunctionNode[] = [];
    walk(value, this.sourceCode, (node) => {
      if (isFunction(node)) {
        const property = node.parent.type === 'Property' && node.parent.parent === value ? node.parent : undefined;
        const isOther = name !== undefined && property?.key.type === 'Identifier' && property.key.name !== name;
        if (isHeld(node) && !isOther && !this.bodies.includes(node)) found.push(node);
        return false;
      }
      return !isClass(node);
    });
    return found;
  }

  private collectUses(): Use[] {
    const uses: Use[] = [];
    for (const reference of this.names.values()) {
      const { identifier } = reference;
      // `typeof fetch` in a type reads nothing.
      const isInType = identifier.parent.type === 'TSTypeQuery' || identifier.parent.type === 'TSQualifiedName';
      if (isInType || !reference.isRead() || !this.includes(identifier)) continue;
      const isAlias = this.isAliasOfUse(identifier);
      for (let node: Node | undefined = identifier; node; node = memberOf(node)) {
        const origin = this.names.origin(node);
        // `const now = Date.now` already counts as a use, so `now()` does not.
        const isRepeated = isAlias && node === identifier && origin !== 'Date';
        if (origin !== undefined && !isRepeated && !this.isPassedAsBody(node)) uses.push({ node, origin });
      }
    }
    for (const module of this.loaded) {
      for (let node = memberOf(module); node; node = memberOf(node)) {
        const origin = this.names.origin(node);
        if (origin !== undefined && !this.isPassedAsBody(node)) uses.push({ node, origin });
      }
    }
    return uses.sort((a, b) => a.node.range[0] - b.node.range[0]);
  }

  /** Returns true for a function that a step executes: `ctx.step('key', randomUUID)`. */
  isPassedAsBody(node: Node): boolean {
    return !isCallee(node) && (isStepBody(node) || this.isBodyOfWrapper(node));
  }

  private isAliasOfUse(identifier: Node): boolean {
    const definition = this.names.variable(identifier)?.defs[0]?.node;
    return definition?.type === 'VariableDeclarator' && definition.id.type === 'Identifier' && this.includes(definition);
  }
}

/** Returns the member expression that reads a member of an expression, also through a cast. */
function memberOf(node: Node): Node | undefined {
  const object = wrapped(node);
  return object.parent?.type === 'MemberExpression' && object.parent.object === object ? object.parent : undefined;
}

/** Returns false for `ctx?: WorkflowContext` and `ctx: WorkflowContext | undefined`. */
function isPresent({ identifiers: [identifier] }: Variable): boolean {
  if (identifier?.type !== 'Identifier') return false;
  return !identifier.optional && identifier.typeAnnotation?.typeAnnotation.type !== 'TSUnionType';
}

function isCallee(node: Node): boolean {
  const callee = wrapped(node);
  return (callee.parent?.type === 'CallExpression' || callee.parent?.type === 'NewExpression') && callee.parent.callee === callee;
}

function identifierOf(parameter: Node): TSESTree.Identifier | undefined {
  const inner = parameter.type === 'AssignmentPattern' ? parameter.left : parameter;
  return inner.type === 'Identifier' ? inner : undefined;
}
