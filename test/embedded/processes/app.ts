import { startEmbeddedPostgres } from '../../../src/embedded/index.js';

/** Starts a database, writes its address, and stops the database on input. */
async function main(): Promise<void> {
  const [dataDir, mode] = process.argv.slice(2);
  const server = await startEmbeddedPostgres(dataDir ? { dataDir } : {});
  // Registered before the ready line: the test may send the signal as soon as it reads that line.
  if (mode !== 'forget') process.on('SIGINT', () => process.stdout.write('interrupted\n'));
  process.stdout.write(`ready ${server.url}\n`);
  if (mode === 'forget') return;

  const stop = (): void => {
    server.stop().then(
      () => process.stdout.write('stopped\n', () => process.stdin.destroy()),
      (error: unknown) => process.stdout.write(`failed ${String(error)}\n`),
    );
  };
  process.stdin.once('data', stop);
}

main().catch((error: unknown) => {
  process.stdout.write(`failed ${String(error)}\n`);
  process.exitCode = 1;
});
