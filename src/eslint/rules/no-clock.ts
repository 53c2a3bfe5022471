import type { Node } from '../ast.js';
import { replaceBy, suggestCode } from '../replacements.js';
import { callOf, checkUses, makeRule, shortName, type RuleContext } from '../rule.js';
import type { Use, WorkflowCode } from '../workflow-code.js';

const READS = new Set([
  'Date.now',
  'performance.now',
  'performance.timeOrigin',
  'perf_hooks:performance.now',
  'perf_hooks:performance.timeOrigin',
  'process.hrtime',
  'process.uptime',
  'process:hrtime',
  'process:uptime',
  'Temporal.Now',
]);

export const noClock = makeRule({
  description: 'Forbids the clock in the code of a workflow: a replay reads a different time.',
  messages: {
    clock: '{{name}} differs in a replay. Use ctx.now(), or read the time in a step.',
    now: 'Replace with {{code}}, which is the time of the last recorded result.',
  },
  fixable: 'code',
  hasSuggestions: true,
  check: checkUses(report),
});

function report(use: Use, code: WorkflowCode, context: RuleContext): void {
  const node = callOf(use.node);
  const isCall = node !== use.node;
  if (use.origin === 'Date' ? !readsNow(node) : !READS.has(use.origin)) return;
  const now = code.contextAt(use.node) && `${code.contextAt(use.node)}.now()`;
  const data = { name: (node.type === 'NewExpression' ? 'new ' : '') + shortName(use.origin) + (isCall ? '()' : '') };
  const exact = now !== undefined && isCall ? exactReplacement(use.origin, node, now) : undefined;
  if (exact !== undefined) return context.report({ node, messageId: 'clock', data, fix: replaceBy(node, exact) });
  // performance.now() has another origin: only the difference of two values stays the same.
  const isElapsed = now !== undefined && isCall && use.origin.endsWith('performance.now');
  context.report({ node, messageId: 'clock', data, suggest: suggestCode('now', node, isElapsed ? `${now}.getTime()` : undefined) });
}

/** Returns code with the type and the meaning of a call that reads the clock. */
function exactReplacement(origin: string, node: Node, now: string): string | undefined {
  if (origin === 'Date.now') return `${now}.getTime()`;
  if (origin !== 'Date') return undefined;
  return node.type === 'NewExpression' ? now : `${now}.toString()`;
}

/** Returns true for `new Date()` and for `Date()`, which ignores its arguments. */
function readsNow(node: Node): boolean {
  return node.type === 'CallExpression' || (node.type === 'NewExpression' && node.arguments.length === 0);
}
