import type { TSESTree } from '@typescript-eslint/utils';

import { enclosingFunction, isFunction, type Node } from '../ast.js';
import { suggestCode } from '../replacements.js';
import { callOf, checkUses, makeRule, shortName, type RuleContext } from '../rule.js';
import type { Use, WorkflowCode } from '../workflow-code.js';

const PROMISES = new Set(['timers/promises:setTimeout', 'timers:promises.setTimeout', 'timers/promises:scheduler.wait']);
const CALLBACKS = new Set(['setTimeout', 'timers:setTimeout']);
const TIMERS = new Set([
  ...PROMISES,
  ...CALLBACKS,
  'setInterval',
  'setImmediate',
  'timers:setInterval',
  'timers:setImmediate',
  'timers/promises:setInterval',
  'timers/promises:setImmediate',
  'timers:promises.setInterval',
  'timers:promises.setImmediate',
  'timers/promises:scheduler.yield',
  'AbortSignal.timeout',
]);

export const noTimers = makeRule({
  description: 'Forbids timers in the code of a workflow: they do not survive a restart.',
  messages: {
    timer: '{{name}} does not survive a restart, and a replay waits again. Use ctx.sleep().',
    sleep: 'Replace with {{code}}. This changes the history, so active runs no longer fit the code.',
  },
  hasSuggestions: true,
  check: checkUses(report),
});

function report(use: Use, code: WorkflowCode, context: RuleContext): void {
  if (!TIMERS.has(use.origin)) return;
  const node = callOf(use.node);
  const data = { name: shortName(use.origin) + (node === use.node ? '' : '()') };
  const ctx = code.contextAt(use.node);
  const wait = ctx === undefined ? undefined : waitOf(use.origin, node);
  const suggest = wait ? suggestCode('sleep', wait.whole, `${ctx}.sleep(${context.sourceCode.getText(wait.duration)})`) : [];
  context.report({ node, messageId: 'timer', data, suggest });
}

/** Returns the promise that only waits for the timer, and its duration, if there is one. */
function waitOf(origin: string, call: Node): { whole: Node; duration: Node } | undefined {
  if (call.type !== 'CallExpression') return undefined;
  const [first, second] = call.arguments;
  if (PROMISES.has(origin)) return first && call.arguments.length === 1 && isAwaited(call) ? { whole: call, duration: first } : undefined;
  if (!CALLBACKS.has(origin) || call.arguments.length !== 2 || !second || first?.type !== 'Identifier') return undefined;
  // new Promise((resolve) => setTimeout(resolve, ms))
  const executor = enclosingFunction(call);
  const promise = executor?.parent;
  const [resolve] = executor?.params ?? [];
  if (promise?.type !== 'NewExpression' || resolve?.type !== 'Identifier' || resolve.name !== first.name) return undefined;
  const isPromise = promise.callee.type === 'Identifier' && promise.callee.name === 'Promise';
  return isPromise && isOnly(executor, call) && isAwaited(promise) ? { whole: promise, duration: second } : undefined;
}

function isAwaited(node: Node): boolean {
  return node.parent?.type === 'AwaitExpression';
}

/** Returns true when a function does nothing but make one call. */
function isOnly(fn: Node | undefined, call: TSESTree.CallExpression): boolean {
  if (!isFunction(fn)) return false;
  if (fn.body === call) return true;
  if (fn.body.type !== 'BlockStatement' || fn.body.body.length !== 1) return false;
  const [statement] = fn.body.body;
  return statement?.type === 'ExpressionStatement' && statement.expression === call;
}
