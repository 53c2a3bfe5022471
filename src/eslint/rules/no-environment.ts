import { checkUses, makeRule } from '../rule.js';

const ENVIRONMENTS = new Set(['process.env', 'process:env', 'Bun.env', 'Deno.env']);

export const noEnvironment = makeRule({
  description: 'Forbids environment variables in the code of a workflow: the next deployment may have different ones.',
  messages: {
    environment: 'A run may continue in a process with different environment variables. Read them in a step, or pass them in the input.',
  },
  check: checkUses((use, _code, context) => {
    if (ENVIRONMENTS.has(use.origin)) context.report({ node: use.node, messageId: 'environment' });
  }),
});
