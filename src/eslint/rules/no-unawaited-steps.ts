import type { TSESTree } from '@typescript-eslint/utils';

import { enclosingFunction, memberName, unwrap, walk, isFunction, type FunctionNode, type Node, type SourceCode } from '../ast.js';
import type { WorkflowContext } from '../../engine/workflow-context.js';
import { asyncDroppedBy, droppedBy, isForEachCallback } from '../fate.js';
import { suggestCode } from '../replacements.js';
import { makeRule } from '../rule.js';
import type { WorkflowCode } from '../workflow-code.js';

/** Names of the methods of the context that return a promise. */
type DurableMethod = {
  [K in keyof WorkflowContext]: WorkflowContext[K] extends (...args: never[]) => Promise<unknown> ? K : never;
}[keyof WorkflowContext];

/**
 * Methods of the context whose promise is the result of a step or a wait. A method that is missing
 * here does not compile.
 */
const DURABLE_METHODS: Readonly<Record<DurableMethod, true>> = {
  step: true,
  sleep: true,
  sleepUntil: true,
  waitForSignal: true,
  waitForEvent: true,
  emit: true,
  hook: true,
  race: true,
  invoke: true,
  invokeMany: true,
  start: true,
  continueAsNew: true,
  saga: true,
};
const OF_CONTEXT: ReadonlySet<string> = new Set(Object.keys(DURABLE_METHODS));

export const noUnawaitedSteps = makeRule({
  description: 'Requires that the promise of each step and wait is awaited, or kept for later.',
  messages: {
    dropped: 'The promise of {{name}}() is dropped: the run may end before the step, and an error of the step is lost. Await the promise.',
    forEach: 'forEach() awaits no callback, so the run may end before {{name}}(). Use for...of, or await Promise.all() of map().',
    await: 'Replace with {{code}}.',
  },
  hasSuggestions: true,
  check: (code, context) => ({
    CallExpression(node) {
      if (!code.includes(node)) return;
      const callback = forEachFunction(node);
      if (callback && isDurable(callback, code, context.sourceCode)) {
        return context.report({ node, messageId: 'forEach', data: { name: context.sourceCode.getText(callback) } });
      }
      if (!isDurable(node.callee, code, context.sourceCode)) return;
      const data = { name: context.sourceCode.getText(node.callee) };
      const around = enclosingFunction(node);
      const dropping = droppedBy(node, code.names) ?? (around?.async ? asyncDroppedBy(around, code.names) : undefined);
      if (!dropping) return;
      if (around && isForEachCallback(around)) return context.report({ node, messageId: 'forEach', data });
      const isStatement = dropping.type === 'ExpressionStatement' && dropping.expression === node;
      const isVoid = dropping.type === 'UnaryExpression' && dropping.operator === 'void' && dropping.argument === node;
      const awaited = (isStatement || isVoid) && around?.async ? `await ${context.sourceCode.getText(node)}` : undefined;
      context.report({ node, messageId: 'dropped', data, suggest: suggestCode('await', isVoid ? dropping : node, awaited) });
    },
  }),
});

/** Returns the named function that a `forEach` calls. */
function forEachFunction({ callee, arguments: [first] }: TSESTree.CallExpression): Node | undefined {
  const isNamed = first?.type === 'Identifier' || first?.type === 'MemberExpression';
  return isNamed && callee.type === 'MemberExpression' && memberName(callee) === 'forEach' ? first : undefined;
}

/** Returns true for the callee of a step, a wait, or a function whose promise waits for one. */
function isDurable(callee: Node, code: WorkflowCode, sourceCode: SourceCode, seen = new Set<FunctionNode>()): boolean {
  if (isStep(callee, code)) return true;
  return code.targets(callee).some((fn) => {
    if (seen.has(fn)) return false;
    seen.add(fn);
    let waits = false;
    walk(fn.body, sourceCode, (node) => {
      if (waits || isFunction(node)) return false;
      const isOfPromise = fn.async || node === fn.body || node.parent?.type === 'ReturnStatement';
      if (node.type === 'CallExpression' && isOfPromise && isDurable(node.callee, code, sourceCode, seen)) waits = true;
      return !waits;
    });
    return waits;
  });
}

function isStep(callee: Node, code: WorkflowCode): boolean {
  const member = unwrap(callee);
  if (member.type !== 'MemberExpression') return false;
  const name = memberName(member) ?? '';
  if (code.isContext(member.object)) return OF_CONTEXT.has(name);
  if (code.classes.membersOf(member).some((each) => each.isStep)) return true;
  return name === 'wait' && isHook(member.object, code);
}

/** Returns true for a variable that holds the result of `await ctx.hook()`. */
function isHook(object: Node, code: WorkflowCode): boolean {
  const definition = code.names.variable(unwrap(object))?.defs[0]?.node;
  if (definition?.type !== 'VariableDeclarator' || definition.init?.type !== 'AwaitExpression') return false;
  const call = definition.init.argument;
  if (call.type !== 'CallExpression' || call.callee.type !== 'MemberExpression') return false;
  return memberName(call.callee) === 'hook' && code.isContext(call.callee.object);
}
