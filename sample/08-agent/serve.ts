import { AppProcess, type AppOptions } from './app-process.js';

/** Serves the page until Ctrl+C. Starts the application again when its process was killed. */
export async function serve(options: AppOptions): Promise<void> {
  const interrupted = new Promise<'interrupted'>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => resolve('interrupted'));
  });
  let app = await AppProcess.start(options, Number(process.env['PORT'] ?? 0));
  console.log(`Open ${app.url} and ask. Ctrl+C ends the sample.`);
  for (;;) {
    console.log(`  kill -9 ${app.pid} during an answer: another process continues`);
    if ((await Promise.race([interrupted, app.exited])) === 'interrupted') break;
    app = await AppProcess.start(options, app.port);
  }
  await app.end('SIGTERM');
}
