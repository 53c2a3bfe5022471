import { expect, it } from '@jest/globals';

import type { Call } from './call.js';
import { warnOfOpenSteps } from './code-warnings.js';

it.each([
  [
    'one step',
    ['audit'],
    'run() ended while step "audit" had no result. Its result will not be recorded, and code after it will not be executed. ',
  ],
  [
    'several steps',
    ['mail', 'log'],
    'run() ended while steps "mail", "log" had no result. Their results will not be recorded, and code after them will not be executed. ',
  ],
])('the warning about a forgotten await names %s and what is lost', (name, keys, expected) => {
  const warnings: string[] = [];
  const calls = keys.map((stepKey) => ({ stepKey, kind: 'step', settled: false }) as Call);
  warnOfOpenSteps({ name }, calls, (code, message) => warnings.push(`${code}: ${message}`));
  expect(warnings).toEqual([expect.stringContaining(expected)]);
});
