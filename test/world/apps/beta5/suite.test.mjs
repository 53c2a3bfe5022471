// The kit's own tests of a World. They need Promise.withResolvers, which Node 20 does not have.
import { createTestSuite } from '@workflow/world-testing';

Promise.withResolvers ??= () => {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
};

createTestSuite(new URL('./world.mjs', import.meta.url).href);
