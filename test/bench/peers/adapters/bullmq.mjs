import { Queue, QueueEvents, Worker } from 'bullmq';
import Redis from 'ioredis';
import { freePorts, startServer } from './server.mjs';

async function threeSteps() {
  const step = async (number) => ({ ok: true, step: number });
  await step(1);
  await step(2);
  return step(3);
}

/** Starts a server that listens on 127.0.0.1 only and begins without data. */
async function startRedis(folder, settings) {
  const [port] = await freePorts(1);
  const options = { bind: '127.0.0.1', port, dir: folder, save: '', appendonly: 'yes', 'maxmemory-policy': 'noeviction', ...settings };
  options.appenddirname = `appendonly-${port}`;
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
  const probe = new Redis({ ...connection, retryStrategy: () => 50 });
  probe.on('error', () => undefined);
  const serverPid = await startServer('redis-server', args, {}, async () => (await probe.ping()) === 'PONG');
  probe.disconnect();
  return { serverPid, connection };
}

export async function boot({ slots, settings, folder, bodyEnded }) {
  const { serverPid, connection } = await startRedis(folder, settings);
  const queue = new Queue('bench', { connection });
  const events = new QueueEvents('bench', { connection });
  const handle = async () => {
    const last = await threeSteps();
    bodyEnded();
    return last;
  };
  const worker = new Worker('bench', handle, { connection, concurrency: slots });
  worker.on('error', (error) => console.error(error));
  await Promise.all([events.waitUntilReady(), worker.waitUntilReady()]);
  return {
    serverPid,
    hasResults: true,
    completed: () => queue.getCompletedCount(),
    startMany: (count) => queue.addBulk(Array.from({ length: count }, (_, run) => ({ name: 'three-steps', data: { run } }))),
    runOne: async () => (await queue.add('three-steps', { run: 0 })).waitUntilFinished(events),
  };
}
