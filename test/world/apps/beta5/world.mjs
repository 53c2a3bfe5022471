import { createRequire } from 'node:module';

// The compiled tests are CommonJS, in which Node does not find the names of exports.
export const { createWorld } = createRequire(import.meta.url)(process.env.WORLD_FILE);
