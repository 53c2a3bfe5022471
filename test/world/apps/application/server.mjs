// Serves the kit's routes, and a small API for the tests: starts runs, reads their results and
// streams, and resumes their hooks. Prints its port.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

import { getRun, resumeHook, start } from 'workflow/api';
import { getWorld, setWorld } from 'workflow/runtime';

import * as handlers from './routes.mjs';

// Counting would slow a benchmark down.
const { statements } = process.env.KILL_AT === undefined ? {} : await import('./kill-at.mjs');
if (process.env.WORLD_OPTIONS) {
  const { createWorld } = createRequire(import.meta.url)(process.env.WORKFLOW_TARGET_WORLD);
  setWorld(createWorld(JSON.parse(process.env.WORLD_OPTIONS)));
}
const routes = {
  '/.well-known/workflow/v1/flow': handlers.flow,
  '/.well-known/workflow/v1/step': handlers.step,
};

async function readBody(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

async function handle(request, url) {
  const route = routes[url.pathname];
  const body = await readBody(request);
  if (route) {
    const requests = new Request(url, { method: 'POST', headers: request.headers, body });
    return route(requests);
  }
  const [, action, id] = url.pathname.split('/');
  if (action === 'statements') return Response.json(statements);
  if (action === 'start') {
    const { workflow, args } = JSON.parse(body);
    const revived = args.map((each) => (each?.$bytes === undefined ? each : new Uint8Array(Buffer.from(each.$bytes, 'base64'))));
    const run = await start({ workflowId: `workflow//./workflows/index//${workflow}` }, revived);
    return Response.json({ runId: run.runId });
  }
  const run = action === 'runs' ? getRun(id) : undefined;
  if (action === 'runs' && url.searchParams.has('stream')) return new Response(run.readable.pipeThrough(new TextEncoderStream()));
  if (action === 'runs') {
    const status = await run.status;
    const output = status === 'completed' ? await run.returnValue : undefined;
    return Response.json({ status, output: output instanceof Uint8Array ? { $bytes: Buffer.from(output).toString('base64') } : output });
  }
  if (action === 'cancel') {
    await getRun(id).cancel();
    return Response.json({});
  }
  if (action === 'hooks') {
    await resumeHook(id, JSON.parse(body));
    return Response.json({});
  }
  return new Response('not found', { status: 404 });
}

const server = createServer(async (request, response) => {
  try {
    const answer = await handle(request, new URL(request.url, `http://localhost:${process.env.PORT}`));
    response.writeHead(answer.status, Object.fromEntries(answer.headers));
    if (answer.body) for await (const chunk of answer.body) response.write(chunk);
    response.end();
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end(String(error?.stack));
  }
});

server.listen(Number(process.env.PORT), async () => {
  const world = await getWorld();
  await world.start();
  console.log(`listening on ${process.env.PORT}`);
});
