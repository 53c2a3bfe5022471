import { createHook, FatalError, getStepMetadata, getWritable, RetryableError, sleep } from 'workflow';

async function add(a, b) {
  'use step';
  return a + b;
}

async function failUntil(attempt, error) {
  'use step';
  const { attempt: current } = getStepMetadata();
  if (current >= attempt) return current;
  if (error === 'fatal') throw new FatalError('stop here');
  throw new RetryableError(`attempt ${current}`, { retryAfter: 200 });
}

async function write(texts) {
  'use step';
  const writer = getWritable().getWriter();
  for (const text of texts) await writer.write(text);
  await writer.close();
}

async function echo(bytes) {
  'use step';
  return bytes;
}

export async function addThree(a) {
  'use workflow';
  const first = await add(a, 1);
  const second = await add(first, 1);
  return add(second, 1);
}

export async function parallel(count) {
  'use workflow';
  const sums = await Promise.all(Array.from({ length: count }, (_, index) => add(index, 1)));
  return sums.reduce((sum, each) => sum + each, 0);
}

export async function retries(attempt) {
  'use workflow';
  return failUntil(attempt, 'retryable');
}

export async function fails() {
  'use workflow';
  return failUntil(9, 'fatal');
}

export async function sleeps(duration) {
  'use workflow';
  await sleep(duration);
  return 'awake';
}

export async function waitsForHook(token) {
  'use workflow';
  const hook = createHook({ token });
  const payload = await hook;
  return add(payload.value, 1);
}

export async function streams(texts) {
  'use workflow';
  await write(texts);
  return texts.length;
}

async function waitForAbort(signal) {
  'use step';
  await new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', resolve, { once: true });
  });
  return 'aborted';
}

export async function aborts() {
  'use workflow';
  const controller = new AbortController();
  const waiting = waitForAbort(controller.signal);
  await sleep('1s');
  controller.abort();
  return waiting;
}

export async function bytes(input) {
  'use workflow';
  return echo(input);
}

export async function long(count) {
  'use workflow';
  let sum = 0;
  for (let index = 0; index < count; index++) sum = await add(sum, 1);
  return sum;
}
