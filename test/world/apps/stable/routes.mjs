import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export const flow = require('./.well-known/workflow/v1/flow.cjs').POST;
export const step = require('./.well-known/workflow/v1/step.cjs').POST;
