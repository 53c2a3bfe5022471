import type { TSESTree } from '@typescript-eslint/utils';

import {
  classOfThis,
  isClass,
  isFunction,
  memberName,
  staticName,
  unwrap,
  type ClassNode,
  type FunctionNode,
  type Node,
  type Variable,
} from './ast.js';
import { isConstant, keyOf, type Names } from './names.js';

/** Type and decorators of a field, a parameter or a variable, as far as the file states them. */
export interface Declared {
  /** Name in the type annotation, or the class of `new X()`. */
  type: Node | undefined;
  decorators: readonly TSESTree.Decorator[];
}

/** A method, an accessor, or a property that holds a function. */
interface Member {
  fn: FunctionNode;
  isStep: boolean;
}

interface ClassFacts {
  members: Map<string, Member[]>;
  fields: Map<string, Declared>;
}

/** Returns true for a module that may export the decorators of this package. */
function mayExportDecorators(module: string): boolean {
  // A path or an alias of a path may lead to a file that exports them again.
  return module === 'nestjs-durable' || /^(?:[.#~/]|@\/)/.test(module);
}

/** Classes of a file: members, steps, fields, and which class an expression is an instance of. */
export class Classes {
  private readonly facts = new Map<ClassNode, ClassFacts>();

  constructor(
    private readonly names: Names,
    readonly all: readonly ClassNode[],
  ) {
    for (const each of all) this.facts.set(each, this.factsOf(each));
  }

  /** Returns true when a class, a member or a parameter has a decorator of this package. */
  isDecorated(node: { decorators?: readonly TSESTree.Decorator[] }, name: string): boolean {
    return (node.decorators ?? []).some(({ expression }) => {
      const [module, exported] = (this.names.origin(decoratorName(expression)) ?? '').split(':');
      return exported === name && mayExportDecorators(module ?? '');
    });
  }

  /** Returns the members of that name of a class, or else of its base classes or subclasses. */
  members(owner: ClassNode, name: string): readonly Member[] {
    for (const each of [owner, ...this.chain(owner)]) {
      const found = this.facts.get(each)?.members.get(name);
      if (found) return found;
    }
    const subclasses = this.all.filter((each) => each !== owner && this.base(each) === owner);
    return subclasses.flatMap((each) => this.facts.get(each)?.members.get(name) ?? []);
  }

  /** Returns the constructors of the class that an expression names, and of its base classes. */
  constructorsOf(expression: Node): FunctionNode[] {
    const owner = this.named(unwrap(expression));
    const chain = owner ? [owner, ...this.chain(owner)] : [];
    return chain.flatMap((each) => (this.facts.get(each)?.members.get('constructor') ?? []).map(({ fn }) => fn));
  }

  /** Returns the base class of a class, if the file declares that class. */
  base(owner: ClassNode): ClassNode | undefined {
    return owner.superClass ? this.named(owner.superClass) : undefined;
  }

  /** Returns the class of the file whose instance an expression is. */
  classOf(expression: Node): ClassNode | undefined {
    const inner = unwrap(expression);
    if (inner.type === 'ThisExpression') return classOfThis(inner);
    if (inner.type === 'Super') {
      const owner = classOfThis(inner);
      return owner && this.base(owner);
    }
    const type = this.declared(inner)?.type;
    // `Orders.total()` names a static method.
    return type ? this.named(type) : this.named(inner);
  }

  /** Returns the members of classes of this file that an expression such as `this.total` means. */
  membersOf(node: TSESTree.MemberExpression): readonly Member[] {
    const name = memberName(node);
    const owner = name === undefined ? undefined : this.classOf(node.object);
    if (!owner || name === undefined) return [];
    const overriding = node.object.type === 'ThisExpression' ? this.workflowsOf(owner) : [];
    const overrides = overriding.flatMap((each) => this.facts.get(each)?.members.get(name) ?? []);
    return [...new Set([...this.members(owner, name), ...overrides])];
  }

  /** Returns the workflows that extend a class, and whose members `this` may mean in the class. */
  private workflowsOf(owner: ClassNode): readonly ClassNode[] {
    return this.all.filter((each) => this.isDecorated(each, 'Workflow') && this.chain(each).includes(owner));
  }

  /** Returns the base classes of a class, as far as the file declares them. */
  private chain(owner: ClassNode): readonly ClassNode[] {
    const bases: ClassNode[] = [];
    for (let each = this.base(owner); each && !bases.includes(each); each = this.base(each)) bases.push(each);
    return bases;
  }

  /** Returns the declared type and the decorators of what an expression reads. */
  declared(expression: Node, depth = 0): Declared | undefined {
    const inner = unwrap(expression);
    if (inner.type === 'MemberExpression') {
      const name = memberName(inner);
      const owner = inner.object.type === 'ThisExpression' ? classOfThis(inner.object) : undefined;
      return owner && name !== undefined ? this.field(owner, name) : undefined;
    }
    if (inner.type === 'NewExpression') return { type: inner.callee, decorators: [] };
    if (inner.type !== 'Identifier') return undefined;
    const variable = this.names.variable(inner);
    return variable && depth < 10 ? this.declaredVariable(variable, depth + 1) : undefined;
  }

  private declaredVariable(variable: Variable, depth: number): Declared | undefined {
    const [definition] = variable.defs;
    const name = definition?.name;
    if (!definition || name?.type !== 'Identifier') return undefined;
    const annotated = typeName(name);
    if (annotated) return { type: annotated, decorators: [] };
    const { node } = definition;
    if (node.type !== 'VariableDeclarator' || !node.init || !isConstant(variable)) return undefined;
    if (node.id.type === 'Identifier') return this.declared(node.init, depth);
    const key = keyOf(node.id, variable);
    const owner = node.init.type === 'ThisExpression' ? classOfThis(node.init) : undefined;
    return owner && key !== undefined ? this.field(owner, key) : undefined;
  }

  private field(owner: ClassNode, name: string): Declared | undefined {
    for (const each of [owner, ...this.chain(owner)]) {
      const found = this.facts.get(each)?.fields.get(name);
      if (found) return found;
    }
    return undefined;
  }

  private named(expression: Node): ClassNode | undefined {
    const variable = this.names.variable(expression);
    const [definition] = variable?.defs ?? [];
    if (!variable || !definition) return undefined;
    if (isClass(definition.node)) return definition.node;
    const init = definition.node.type === 'VariableDeclarator' ? definition.node.init : undefined;
    return isClass(init) ? init : undefined;
  }

  private factsOf(owner: ClassNode): ClassFacts {
    const members = new Map<string, Member[]>();
    const fields = new Map<string, Declared>();
    for (const element of owner.body.body) {
      if (element.type !== 'MethodDefinition' && element.type !== 'PropertyDefinition') continue;
      const name = staticName(element, element.key);
      const value = element.value ? unwrap(element.value) : undefined;
      if (name !== undefined && isFunction(value)) {
        const isStep = this.isDecorated(element, 'Step');
        members.set(name, [...(members.get(name) ?? []), { fn: value, isStep }]);
      } else if (name !== undefined && element.type === 'PropertyDefinition') {
        const type = typeName(element) ?? (value?.type === 'NewExpression' ? value.callee : undefined);
        fields.set(name, { type, decorators: element.decorators ?? [] });
      }
      if (element.type !== 'MethodDefinition' || element.kind !== 'constructor') continue;
      for (const parameter of element.value.params) {
        if (parameter.type !== 'TSParameterProperty') continue;
        const inner = parameter.parameter.type === 'AssignmentPattern' ? parameter.parameter.left : parameter.parameter;
        if (inner.type !== 'Identifier') continue;
        fields.set(inner.name, { type: typeName(inner), decorators: parameter.decorators ?? [] });
      }
    }
    return { members, fields };
  }
}

/** Returns the expression that names a decorator: `Step` of `@Step()`. */
export function decoratorName(expression: Node): Node {
  return expression.type === 'CallExpression' ? expression.callee : expression;
}

/** Returns the name in a type annotation: `Repository` of `: Repository<Order> | undefined`. */
export function typeName(node: { typeAnnotation?: TSESTree.TSTypeAnnotation | undefined }): Node | undefined {
  const type = node.typeAnnotation?.typeAnnotation;
  const parts = type?.type === 'TSUnionType' ? type.types : type ? [type] : [];
  const named = parts.filter((part) => part.type === 'TSTypeReference');
  return named.length === 1 ? named[0]?.typeName : undefined;
}
