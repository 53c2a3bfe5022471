import type { TSESLint } from '@typescript-eslint/utils';

import { enclosingFunction, isFunction, walk, type Node, type SourceCode } from './ast.js';
import type { WorkflowCode } from './workflow-code.js';

type Suggestion = TSESLint.ReportSuggestionArray<string>[number];

/** Returns a fix that puts code in the place of a node. */
export function replaceBy(node: Node, code: string): TSESLint.ReportFixFunction {
  return (fixer) => fixer.replaceText(node, code);
}

/** Returns a suggestion that puts code in the place of a node, or none where there is no code. */
export function suggestCode(messageId: string, node: Node, code: string | undefined): Suggestion[] {
  return code === undefined ? [] : [{ messageId, data: { code }, fix: replaceBy(node, code) }];
}

/**
 * Offers to execute an expression as the body of a step. Offers nothing where the code cannot use
 * the context, or where the expression has an `await` or `yield` of its own.
 */
export function suggestStep(code: WorkflowCode, sourceCode: SourceCode, expression: Node, name: string): Suggestion[] {
  const ctx = code.contextAt(expression);
  if (ctx === undefined || !mayMoveIntoBody(expression, sourceCode)) return [];
  const step = `${ctx}.step('${name}', () => ${sourceCode.getText(expression)})`;
  const { parent } = expression;
  if (parent?.type === 'AwaitExpression') {
    return [{ messageId: 'step', data: { name }, fix: replaceBy(expression, step) }];
  }
  if (!enclosingFunction(expression)?.async) return [];
  const isWholeValue =
    parent?.type === 'VariableDeclarator' || parent?.type === 'ExpressionStatement' || parent?.type === 'ReturnStatement';
  const text = isWholeValue ? `await ${step}` : `(await ${step})`;
  return [{ messageId: 'step', data: { name }, fix: replaceBy(expression, text) }];
}

function mayMoveIntoBody(expression: Node, sourceCode: SourceCode): boolean {
  let may = true;
  walk(expression, sourceCode, (node) => {
    if (node.type === 'AwaitExpression' || node.type === 'YieldExpression') may = false;
    return may && !isFunction(node);
  });
  return may;
}
