import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:http2';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import process from 'node:process';
import * as restate from '@restatedev/restate-sdk';
import * as clients from '@restatedev/restate-sdk-clients';
import { freePorts, startServer } from './server.mjs';

/** Starts that wait for the server's answer at a time. */
const LANES = 100;

function serverFile() {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  return join(manifest, '../bin/restate-server');
}

async function startRestate(folder, environment) {
  const [ingress, admin, node, services] = await freePorts(4);
  const bound = {
    RESTATE_LISTEN_MODE: 'tcp',
    RESTATE_BIND_IP: '127.0.0.1',
    RESTATE_ADVERTISED_HOST: '127.0.0.1',
    RESTATE_BIND_PORT: String(node),
    RESTATE_INGRESS__BIND_PORT: String(ingress),
    RESTATE_ADMIN__BIND_PORT: String(admin),
    RESTATE_DISABLE_TELEMETRY: 'true',
    RESTATE_LOG_FILTER: 'warn',
  };
  const args = ['--no-logo', '--base-dir', mkdtempSync(join(folder, 'data-'))];
  const urls = { ingress: `http://127.0.0.1:${ingress}`, admin: `http://127.0.0.1:${admin}` };
  const isReady = async () => {
    const answers = await Promise.all([fetch(`${urls.admin}/health`), fetch(`${urls.ingress}/restate/health`)]);
    return answers.every((answer) => answer.ok);
  };
  const serverPid = await startServer(serverFile(), args, { ...bound, ...environment }, isReady);
  return { serverPid, urls, services };
}

async function post(url, body) {
  const headers = { 'content-type': 'application/json', accept: 'application/json' };
  const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

export async function boot({ folder, settings, bodyEnded }) {
  const { serverPid, urls, services } = await startRestate(folder, settings);
  const workflow = restate.workflow({
    name: 'threeSteps',
    handlers: {
      run: async (context) => {
        await context.run('one', () => ({ ok: true, step: 1 }));
        await context.run('two', () => ({ ok: true, step: 2 }));
        const last = await context.run('three', () => ({ ok: true, step: 3 }));
        bodyEnded();
        return last;
      },
    },
  });
  const endpoint = createServer(restate.createEndpointHandler({ services: [workflow] }));
  await new Promise((resolve) => endpoint.listen(services, '127.0.0.1', resolve));
  await post(`${urls.admin}/deployments`, { uri: `http://127.0.0.1:${services}` });
  const ingress = clients.connect({ url: urls.ingress });
  let last = 0;
  const nextRun = () => ingress.workflowClient(workflow, `run-${last++}`);
  const query = `SELECT count(*) AS count FROM sys_invocation WHERE target_service_name = 'threeSteps' AND status = 'completed'`;
  return {
    serverPid,
    hasResults: true,
    completed: async () => Number((await post(`${urls.admin}/query`, { query })).rows[0].count),
    async startMany(count) {
      let started = 0;
      const lane = async () => {
        while (started++ < count) await nextRun().workflowSubmit({});
      };
      await Promise.all(Array.from({ length: LANES }, lane));
    },
    async runOne() {
      const run = nextRun();
      await run.workflowSubmit({});
      return run.workflowAttach();
    },
  };
}
