import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { commandHelp, programHelp } from '../../../src/cli/help.js';
import { COMMANDS } from '../../../src/cli/specs/commands.js';
import { GLOBAL_OPTIONS } from '../../../src/cli/specs/global-options.js';
import { defineEvent } from '../../../src/index.js';
import { closeApplications, startApplication, type TestApplication } from '../../support/application.js';
import { command, words } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';
import { OrderWorkflow } from './workflows.js';

/** The schedule that an example names. Its due times of the last two days have no runs. */
const SCHEDULE = { workflow: OrderWorkflow, cron: '0 8 * * *', input: { card: 'good' } } as const;

const PROGRAM = 'npx nestjs-durable ';

/** Commands in the code blocks of a document and of its lists, without the name of the program. */
async function documented(path: string): Promise<string[]> {
  const blocks = [...(await readFile(path, 'utf8')).matchAll(/^ *```sh\n([^]*?)^ *```/gm)].map(([, block]) => block!);
  const lines = blocks.flatMap((block) => block.split('\n').map((line) => line.trim())).filter((line) => line.startsWith(PROGRAM));
  return lines.map((line) => line.slice(PROGRAM.length).replace(/\s+#.*$/, ''));
}

describe('the documented commands', () => {
  let database: TestDatabase;
  let app: TestApplication;
  let folder: string;
  let count = 0;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } });
    folder = await mkdtemp(join(tmpdir(), 'durable-cli-'));
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
    await rm(folder, { recursive: true });
  });

  /** Starts the run that an example names: 7 waits, 8 has failed, 9 is paused. */
  const prepare = async (name: string, id: string): Promise<void> => {
    const { client } = app;
    await client.start(OrderWorkflow, { card: name === 'order-8' ? 'declined' : 'good' }, { id, tags: { customer: '7' } });
    if (name === 'order-9') await client.pause(id);
    const status = { 'order-7': 'waiting', 'order-8': 'failed', 'order-9': 'paused' }[name];
    await waitFor(async () => (await client.status(id)) === status);
  };

  it('are executed: every example of the help and of the documents ends with exit code 0', async () => {
    const inHelp = COMMANDS.flatMap(({ examples }) => examples);
    const inDocuments = (await Promise.all(['docs/cli.md', 'docs/operations.md', 'README.md'].map(documented))).flat();
    expect(inHelp.filter((example) => !inDocuments.includes(example))).toEqual([]);
    const failed: unknown[] = [];
    for (const line of new Set([...inHelp, ...inDocuments])) {
      const suffix = `-${++count}`;
      const [name] = /order-\d/.exec(line) ?? [];
      if (name !== undefined) await prepare(name, `${name}${suffix}`);
      if (line.includes('acme-report')) await app.client.schedules.create(`acme-report${suffix}`, SCHEDULE);
      if (line.includes('payment-7')) await app.client.emit(defineEvent('order.paid'), undefined, { id: `payment-7${suffix}` });
      const argv = words(line).map((word) =>
        /^(?:order-\d|acme-report|payment-7)$/.test(word) ? `${word}${suffix}` : word === 'order-8.json' ? join(folder, word) : word,
      );
      const outcome = await command(argv, { url: database.url, answer: 'y', interruptWhen: (_, err) => err.includes('Ctrl-C ends') });
      if (outcome.code !== 0) failed.push({ line, ...outcome });
    }
    expect(failed).toEqual([]);
    expect(count).toBeGreaterThan(30);
  });

  it('have their options in docs/cli.md, which names no option that does not exist', async () => {
    const text = await readFile('docs/cli.md', 'utf8');
    const section = (heading: string): string => new RegExp(`^##+ ${heading}\n([^]*?)(?=^##+ |$(?![^]))`, 'm').exec(text)?.[1] ?? '';
    const shared = ['Every command', 'Filters', 'Many runs at once', 'Changing runs'].map(section).join('');
    const lacking = COMMANDS.flatMap(({ name, options }) => {
      const own = section(name);
      return [...(own === '' ? [name] : []), ...Object.keys(options).filter((option) => !`${own}${shared}`.includes(`\`--${option}`))];
    });
    expect(lacking).toEqual([]);
    const known = [GLOBAL_OPTIONS, ...COMMANDS.map(({ options }) => options)].flatMap((options) => Object.keys(options));
    const named = [...text.matchAll(/(?<=[`\s])--([a-z][a-z-]+)/g)].map(([, option]) => option!);
    expect(named.filter((option) => !known.includes(option))).toEqual([]);
  });

  it('shows the documented help', async () => {
    for (const spec of COMMANDS) {
      expect(await command([spec.name, '--help'])).toEqual({ code: 0, out: commandHelp(spec), err: '' });
      expect(
        commandHelp(spec)
          .split('\n')
          .filter((line) => line.length > 100 && !line.startsWith('  npx')),
      ).toEqual([]);
    }
    expect(await command(['--help'])).toEqual({ code: 0, out: programHelp(), err: '' });
    expect(await command(['--version'])).toEqual({ code: 0, out: '0.0.0-test\n', err: '' });
    expect(await command([])).toEqual({ code: 2, out: '', err: programHelp() });
  });

  it('has every finding of doctor in docs/cli.md', async () => {
    const files = await readdir('src/cli/doctor');
    const sources = await Promise.all(files.map((file) => readFile(join('src/cli/doctor', file), 'utf8')));
    const codes = [...sources.join('\n').matchAll(/\b(?:ok|warn|error)\(\s*'([A-Z_]+)'/g)].map(([, code]) => code!);
    const table = (await readFile('docs/cli.md', 'utf8')).split('### doctor')[1]!;
    const listed = [...table.matchAll(/`([A-Z]+(?:_[A-Z]+)*)`/g)].map(([, code]) => code!);
    expect(new Set(listed)).toEqual(new Set(codes));
  });
});
