import type { AgentEvent } from './agent-event.js';
import { MAX_MODEL_CALLS } from './agent.workflow.js';
import { AppProcess, type AppOptions } from './app-process.js';
import type { ModelServer } from './model-server.js';
import { follow } from './reader.js';

/** Number of words of the last answer after which the application is killed. */
const WORDS_BEFORE_KILL = 12;

/** Milliseconds between two words of the model. */
export const FAST_MS = 10;
const SLOW_MS = 150;

/**
 * Plays a customer, a colleague and a `kill -9`. Fails when the model was paid twice for a finished
 * call, or when the reader did not get the answer.
 */
export async function playStory(options: AppOptions, model: ModelServer): Promise<void> {
  let app = await AppProcess.start(options, 0);
  const { url, port } = app;
  try {
    const cookie = (await fetch(url)).headers.get('set-cookie')!.split(';')[0]!;
    const post = async (path: string, body: object): Promise<Response> => {
      const headers = { 'content-type': 'application/json', cookie };
      const response = await fetch(`${url}/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
      if (!response.ok) throw new Error(`POST ${path} was answered with status ${response.status}`);
      return response;
    };
    const ask = async (question: string): Promise<string> =>
      ((await (await post('questions', { question })).json()) as { runId: string }).runId;
    const streamOf = (runId: string): string => `${url}/workflow/runs/${runId}/streams/agent`;

    console.log(`The application serves ${url} (pid ${app.pid})\n`);
    const runId = await ask('Order 1042 arrived broken. May I have my money back?');
    const forbidden = await fetch(streamOf(runId));
    console.log(`  another user gets status ${forbidden.status} for this stream\n`);

    let answer = '';
    let resets = 0;
    let restart: Promise<void> | undefined;
    const killAndStart = async (): Promise<void> => {
      const { pid } = app;
      await app.end('SIGKILL');
      model.paceMs = FAST_MS;
      console.log(`\n  kill -9 ${pid} in the middle of the answer`);
      app = await AppProcess.start(options, port);
      console.log(`  pid ${app.pid} serves ${url}`);
    };
    const chunk = (value: AgentEvent): void => {
      if (typeof value === 'string') {
        answer += value;
        process.stdout.write(value);
        const isLast = answer.startsWith('A colleague');
        if (isLast && answer.split(' ').length > WORDS_BEFORE_KILL) restart ??= killAndStart();
        return;
      }
      answer = '';
      console.log(`\n  ${describe(value)}`);
      if (value.type !== 'approval') return;
      // The last answer must not end before the kill, even on a busy machine.
      model.paceMs = SLOW_MS;
      void post(`approvals/${value.token}`, { approved: true });
    };
    const reset = (): void => {
      resets++;
      answer = '';
      console.log('\n\n  reset: the answer begins again\n');
    };
    const state = await follow(streamOf(runId), cookie, { chunk, reset });
    await restart;

    console.log(`\n\n  the run is ${state}\n\nCalls of the model:`);
    const calls = model.calls.splice(0).map((call) => ({ ...call, key: call.key.split('.')[1]! }));
    for (const { key, state: end, words } of calls) console.log(`  ${key.padEnd(6)} ${end.padEnd(12)} ${words} words`);
    const ends = (key: string): string => calls.flatMap((call) => (call.key === key ? call.state : [])).join(', ');
    claim(state === 'completed' && answer.endsWith('for you?'), 'the reader has the whole answer');
    claim(resets === 1, 'the reader was told once that the answer begins again');
    claim(ends('ask') === 'refused, finished', 'the step called the model again after it had refused');
    claim(ends('ask#2') === 'finished', 'the call that had finished before the kill was not repeated');
    claim(ends('ask#3') === 'interrupted, finished', 'the interrupted call was repeated once');

    console.log('\nA question that the model cannot answer');
    const endless = await follow(streamOf(await ask('Which of my orders was it?')), cookie, {
      chunk: () => undefined,
      reset: () => undefined,
    });
    const paid = model.calls.filter(({ state: end }) => end === 'finished').length;
    claim(endless === 'failed' && paid === MAX_MODEL_CALLS, `the run failed after ${paid} calls of the model`);
  } finally {
    await app.end('SIGTERM');
  }
}

function describe(event: Exclude<AgentEvent, string>): string {
  switch (event.type) {
    case 'question':
      return `question: ${event.text}\n`;
    case 'call':
      return `tool: ${event.tool} ${JSON.stringify(event.input)}`;
    case 'approval':
      return 'a colleague approves';
    case 'result':
      return `result: ${JSON.stringify(event.output)}\n`;
  }
}

function claim(holds: boolean, what: string): void {
  if (!holds) throw new Error(`not as claimed: ${what}`);
  console.log(`  ✓ ${what}`);
}
