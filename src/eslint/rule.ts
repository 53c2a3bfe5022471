import type { TSESLint } from '@typescript-eslint/utils';

import type { Node } from './ast.js';
import type { DurableRule } from './plugin-types.js';
import { workflowCodeOf, type Use, type WorkflowCode } from './workflow-code.js';

export type RuleContext = TSESLint.RuleContext<string, []>;
interface RuleParts {
  description: string;
  messages: Record<string, string>;
  fixable?: 'code';
  hasSuggestions?: true;
  check: (code: WorkflowCode, context: RuleContext) => TSESLint.RuleListener;
}

/** Makes a rule that checks the workflow code of each file. */
export function makeRule({ description, check, messages, ...meta }: RuleParts): DurableRule {
  return {
    meta: { type: 'problem', docs: { description, recommended: true }, schema: [], messages, ...meta },
    // The public type names no type of a linter, so that applications need not install one.
    create: (context: RuleContext) => check(workflowCodeOf(context.sourceCode), context) as Record<string, () => void>,
  };
}

/** Makes the part of a rule that looks at each use of a global or a module. */
export function checkUses(report: (use: Use, code: WorkflowCode, context: RuleContext) => void): RuleParts['check'] {
  return (code, context) => ({
    'Program:exit'() {
      for (const use of code.uses) report(use, code, context);
    },
  });
}

/** Returns the part of an origin that a message shows: `randomUUID` of `crypto:randomUUID`. */
export function shortName(origin: string): string {
  return origin.replace(/^.*:/, '');
}

/** Returns the call or `new` expression of which a node is the callee, or else the node. */
export function callOf(node: Node): Node {
  const { parent } = node;
  const isCallee = (parent?.type === 'CallExpression' || parent?.type === 'NewExpression') && parent.callee === node;
  return isCallee ? parent : node;
}
