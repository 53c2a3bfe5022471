import { callOf, checkUses, makeRule, shortName, type RuleContext } from '../rule.js';
import type { Use, WorkflowCode } from '../workflow-code.js';

const CALLS = new Set([
  'fetch',
  'WebSocket',
  'EventSource',
  'XMLHttpRequest',
  'http:request',
  'http:get',
  'https:request',
  'https:get',
  'undici:fetch',
  'undici:request',
  'node-fetch:default',
  'node-fetch:fetch',
]);
// Classes such as `AxiosError` send nothing.
/** Clients that are functions with methods: `axios()`, `axios.get()`. */
const CLIENTS = /^(?:axios|got|ky):(?!.*\.bind$)(?!(?:create|extend|interceptors|getUri|toFormData|is[A-Z]\w*|[A-Z]\w*)\b)/;

export const noNetwork = makeRule({
  description: 'Forbids requests in the code of a workflow: each replay would send them again.',
  messages: { request: 'Each replay executes {{name}} again, and nothing records the answer. Send the request in a step.' },
  check: checkUses(report),
});

function report(use: Use, _code: WorkflowCode, context: RuleContext): void {
  const isClient = CLIENTS.test(use.origin);
  const node = callOf(use.node);
  // `axios` in `axios.get()` is not a request by itself.
  if (!CALLS.has(use.origin) && !(isClient && node !== use.node)) return;
  // `x instanceof WebSocket` and `typeof fetch` send nothing.
  const { parent } = node;
  if (parent?.type === 'BinaryExpression' || (parent?.type === 'UnaryExpression' && parent.operator === 'typeof')) return;
  const name = /:(?:default|\*)$/.test(use.origin) ? use.origin.replace(/:.*$/, '') : shortName(use.origin);
  context.report({ node, messageId: 'request', data: { name: node === use.node ? name : `${name}()` } });
}
