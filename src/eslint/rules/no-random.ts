import { replaceBy, suggestCode, suggestStep } from '../replacements.js';
import { callOf, checkUses, makeRule, shortName, type RuleContext } from '../rule.js';
import type { Use, WorkflowCode } from '../workflow-code.js';

const OF_CRYPTO = [
  'randomUUID',
  'randomUUIDv7',
  'randomBytes',
  'randomInt',
  'randomFill',
  'randomFillSync',
  'getRandomValues',
  'generateKey',
  'generateKeySync',
  'generateKeyPair',
  'generateKeyPairSync',
  'generatePrime',
  'generatePrimeSync',
  'webcrypto.randomUUID',
  'webcrypto.getRandomValues',
  'webcrypto.subtle.generateKey',
  'subtle.generateKey',
];
const UUIDS = new Set(['crypto.randomUUID', 'crypto:randomUUID', 'crypto:webcrypto.randomUUID', 'uuid:v4']);
const SOURCES = new Set([
  'Math.random',
  ...OF_CRYPTO.flatMap((name) => [`crypto.${name}`, `crypto:${name}`]),
  'uuid:v1',
  'uuid:v4',
  'uuid:v6',
  'uuid:v7',
  'nanoid:nanoid',
  'ulid:ulid',
]);
/** Calls that return random values at once, in a form that a step can record. */
const RECORDABLE = /(?:randomUUID|randomBytes|randomInt|uuid:v\d|nanoid|ulid)$/;

export const noRandom = makeRule({
  description: 'Forbids random values in the code of a workflow: a replay draws different ones.',
  messages: {
    random: '{{name}} differs in a replay. Use ctx.random() or ctx.uuid(), or draw secrets in a step.',
    uuid: 'Replace with {{code}}, which can be guessed, so do not use it for secrets.',
    step: "Draw the value in a step named '{{name}}', which records it.",
  },
  fixable: 'code',
  hasSuggestions: true,
  check: checkUses(report),
});

function report(use: Use, code: WorkflowCode, context: RuleContext): void {
  if (!SOURCES.has(use.origin)) return;
  const node = callOf(use.node);
  const isCall = node.type === 'CallExpression';
  const ctx = code.contextAt(use.node);
  const data = { name: shortName(use.origin) + (isCall ? '()' : '') };
  if (use.origin === 'Math.random') {
    context.report({ node, messageId: 'random', data, fix: isCall && ctx !== undefined ? replaceBy(node, `${ctx}.random()`) : null });
    return;
  }
  // A fix would turn a value that may be a secret into one that can be guessed.
  const replaced = suggestCode('uuid', node, isCall && ctx !== undefined && UUIDS.has(use.origin) ? `${ctx}.uuid()` : undefined);
  const name = shortName(use.origin).replace(/^.*\./, '');
  const recorded = isCall && RECORDABLE.test(use.origin) ? suggestStep(code, context.sourceCode, node, name) : [];
  context.report({ node, messageId: 'random', data, suggest: [...replaced, ...recorded] });
}
