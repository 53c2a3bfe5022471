import { WorkflowTestError } from './errors.js';

/** Functions without which no query to a database ends, with the object that has each. */
const NEEDED = [
  { name: 'process.nextTick', owner: process, key: 'nextTick' },
  { name: 'queueMicrotask', owner: globalThis, key: 'queueMicrotask' },
].map((each) => ({ ...each, original: Reflect.get(each.owner, each.key) as unknown }));

/** True for a function of `@sinonjs/fake-timers`, which Jest and Vitest use. */
function isFake(given: unknown): boolean {
  return typeof given === 'function' && 'clock' in given;
}

/**
 * Refuses fake timers that replace `process.nextTick` or `queueMicrotask`. A call of the kit would
 * otherwise never settle.
 *
 * @throws WorkflowTestError saying what to change
 */
export function refuseFakeTicks(): void {
  const faked = NEEDED.filter(({ owner, key, original }) => {
    const current: unknown = Reflect.get(owner, key);
    return current !== original || isFake(current);
  });
  if (faked.length === 0) return;
  throw new WorkflowTestError(
    `fake timers have replaced ${faked.map(({ name }) => name).join(' and ')}, without which no query to the database ends. In Jest, call ` +
      "jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask'] }); in Vitest and Sinon, leave both out of `toFake`. " +
      'Workflows need no fake timers: advance() moves their time',
  );
}
