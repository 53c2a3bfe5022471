// The command line of the installed package, as `npx nestjs-durable` starts it, on a real server.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import { startEmbeddedPostgres } from 'nestjs-durable';

const manifest = createRequire(import.meta.url).resolve('nestjs-durable/package.json');
const { version } = JSON.parse(readFileSync(manifest, 'utf8'));
const program = join(dirname(manifest), '../.bin/nestjs-durable');
const server = await startEmbeddedPostgres({ fast: true });
const env = { ...process.env, DATABASE_URL: server.url };

/** Runs a command of the installed package. Expects this exit code. */
function cli(argv, code = 0) {
  const { status, stdout, stderr } = spawnSync(program, argv, { env, encoding: 'utf8' });
  assert.equal(status, code, `${argv.join(' ')} ended with ${status}: ${stdout}${stderr}`);
  return stdout;
}

try {
  assert.equal(cli(['--version']), `${version}\n`);
  assert.equal(cli(['--help']), spawnSync('npx', ['--no-install', 'nestjs-durable', '--help'], { env, encoding: 'utf8' }).stdout);
  cli(['runs'], 1);
  assert.match(cli(['migrate']), /^Applied to schema "durable": /);
  assert.deepEqual(JSON.parse(cli(['runs', '--json'])), { runs: [] });
  assert.match(cli(['doctor']), /: 0 errors, /);
  cli(['show', 'nobody'], 3);

  // TypeORM and Nest take long to load, and commands other than `migrate` need neither.
  const listing = `process.argv.splice(1, 0, ${JSON.stringify(program)}); require(process.argv[1]);
    process.on('exit', () => process.stderr.write(Object.keys(require.cache).filter((file) => /node_modules.(typeorm|@nestjs|rxjs)/.test(file)).slice(0, 5).join()));`;
  const loaded = spawnSync(process.execPath, ['--input-type=commonjs', '-e', listing, 'runs'], { env, encoding: 'utf8' });
  assert.deepEqual([loaded.status, loaded.stderr], [0, '']);
  assert.match(loaded.stdout, /^RUN /);

  // Ctrl-C ends `tail`, and a reader that stops reading ends any command.
  const tail = spawn(program, ['tail'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  tail.stderr.once('data', () => tail.kill('SIGINT'));
  assert.deepEqual(await new Promise((resolve) => tail.once('close', (code, signal) => resolve([code, signal]))), [0, null]);
  const piped = spawnSync('sh', ['-c', `"${program}" migrate --sql --schema other | head -n 1`], { env, encoding: 'utf8' });
  assert.deepEqual([piped.stdout, piped.stderr], ['BEGIN;\n', '']);
} finally {
  await server.stop();
}
console.log('the command line works');
