export { POST as flow } from './.well-known/workflow/v1/flow.mjs';
