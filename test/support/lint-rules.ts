import * as parser from '@typescript-eslint/parser';
import { describe, it } from '@jest/globals';
import { RuleTester } from 'eslint';

import { rules, type DurableRuleName } from '../../src/eslint/index.js';

interface InvalidCase {
  code: string;
  /** Code after the fixes; absent where the rule has no fix. */
  output?: string;
  errors: { messageId: string; line?: number; suggestions?: { messageId: string; output: string }[] }[];
}

interface Cases {
  valid: Record<string, string>;
  invalid: Record<string, InvalidCase>;
}

/** Runs cases of a rule, by title, through ESLint's RuleTester. */
export function testRule(name: DurableRuleName, { valid, invalid }: Cases): void {
  RuleTester.describe = describe;
  RuleTester.it = it;
  new RuleTester({ languageOptions: { parser } }).run(name, rules[name], {
    valid: Object.entries(valid).map(([title, code]) => ({ name: title, code })),
    invalid: Object.entries(invalid).map(([title, { output = null, ...each }]) => ({ name: title, output, ...each })),
  });
}

/** Returns a file with one workflow, whose `run` has the given statements. */
export function workflow(
  statements: string,
  { imports = '', fields = '', members = '', after = '', parameters = 'order: Order, ctx: WorkflowContext' } = {},
): string {
  return `
import { Step, Workflow, type WorkflowContext } from 'nestjs-durable';
${imports}
@Workflow({ name: 'order' })
class OrderWorkflow {
  ${fields}
  async run(${parameters}): Promise<unknown> {
    ${statements}
  }
  @Step() async charge(order: Order): Promise<string> { return ''; }
  ${members}
}
${after}`;
}
