import { AsyncLocalStorage, createHook } from 'node:async_hooks';

import { jest, expect, it } from '@jest/globals';

it('outside executes code in the context in which the module was loaded, and leaves no open handle in Jest', async () => {
  const storage = new AsyncLocalStorage<string>();
  const stacks: string[] = [];
  const hook = createHook({
    init(_id, type) {
      if (type === 'bound-anonymous-fn') stacks.push(String(new Error(type).stack));
    },
  });
  jest.resetModules();
  hook.enable();
  const { outside } = await storage.run('load', () => import('./outside.js'));
  hook.disable();
  expect(stacks).toHaveLength(1);
  // Jest reports a handle that is created while a module is loaded, so loading must create none.
  expect(stacks.filter((stack) => stack.includes('requireModule'))).toEqual([]);
  expect(storage.run('request', () => outside((suffix: string) => `${storage.getStore()}${suffix}`, '!'))).toBe('load!');
});
