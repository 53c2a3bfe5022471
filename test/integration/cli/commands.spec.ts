import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { startApplication, closeApplications, type TestApplication } from '../../support/application.js';
import { command, type CommandOptions, type Outcome } from '../../support/command-line.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { waitFor } from '../../support/wait.js';
import { OrderWorkflow } from './workflows.js';

describe('the command line', () => {
  let database: TestDatabase;
  let app: TestApplication;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [OrderWorkflow], { worker: { suspendAfter: 20 } });
  });
  afterAll(async () => {
    await closeApplications();
    await database.drop();
  });

  const run = (argv: readonly string[], options: CommandOptions = {}): Promise<Outcome> => command(argv, { url: database.url, ...options });
  const reaches = (id: string, status: string) => waitFor(async () => (await app.client.status(id)) === status);
  const start = async (id: string, card: 'good' | 'declined' = 'good', tags: Record<string, string> = {}): Promise<void> => {
    await app.client.start(OrderWorkflow, { card }, { id, tags });
    await reaches(id, card === 'good' ? 'waiting' : 'failed');
  };
  const json = async (argv: readonly string[]): Promise<any> => JSON.parse((await run([...argv, '--json'])).out);

  it('lists runs page by page', async () => {
    for (const id of ['list-1', 'list-2', 'list-3']) await start(id, 'good', { list: 'yes' });
    const first = await run(['runs', '--tag', 'list=yes', '--limit', '2']);
    expect(first.out).toMatch(/^RUN +WORKFLOW +STATUS .*\nlist-3 +order v1 +waiting +default .*\nlist-2 /);
    const cursor = /--cursor (\S+)/.exec(first.err)![1]!;
    const second = await run(['runs', '--tag', 'list=yes', '--limit', '2', '--cursor', cursor]);
    expect(second).toMatchObject({ code: 0, out: expect.stringContaining('list-1'), err: '' });
    expect((await json(['runs', '--tag', 'list=yes'])).runs.map(({ runId }: any) => runId)).toEqual(['list-3', 'list-2', 'list-1']);
    expect(await run(['runs', '--tag', 'list=yes', '--count'])).toMatchObject({ out: '3\n' });
  });

  it('shows the timeline of a run, and what it waits for', async () => {
    await start('show-1');
    const { out } = await run(['show', 'show-1']);
    expect(out).toMatch(/^show-1 {2}order v1 {2}waiting\n/);
    expect(out).toMatch(/\n {2}waits +for signal "approved", since 2\S+ \S+Z \([\d.]+m?s\)\n/);
    expect(out).toMatch(/step completed +charge +[\d.]+m?s, 1 attempt\n/);
    expect(out).not.toContain('good');
    expect((await run(['show', 'show-1', '--payloads'])).out).toContain(`{ card: 'good' }`);
    const document = await json(['show', 'show-1']);
    expect(document.run).toMatchObject({ runId: 'show-1', status: 'waiting', waitingFor: [{ kind: 'signal', name: 'approved' }] });
    expect(document.run.input).toBeUndefined();
    expect(document.timeline.map(({ kind }: any) => kind)).toContain('wait_open');
  });

  it('shows why a run has failed, and who has retried it', async () => {
    await start('failed-1', 'declined');
    await run(['retry', 'failed-1', '--actor', 'ann', '--reason', 'new card']);
    await waitFor(async () => (await app.client.describe('failed-1')).generation === 1);
    await reaches('failed-1', 'failed');
    const { out } = await run(['show', 'failed-1']);
    expect(out).toMatch(/error +StepFailedError \(STEP_FAILED\): /);
    expect(out).toMatch(/caused by +CardDeclined \(CARD_DECLINED\): insufficient funds\n/);
    expect(out).toMatch(/retried +.*actor ann, reason new card/);
    expect((await run(['failures'])).out).toMatch(/\n\d+ +order +CARD_DECLINED +charge /);
  });

  it('names the session of the worker, and what it serves', async () => {
    const { workers } = await json(['workers']);
    expect(workers).toMatchObject([{ pid: process.pid, isExpired: false }]);
    expect(workers[0].serves).toContainEqual({ queue: 'default', name: 'order', version: 1 });
    expect((await run(['workers'])).out).toContain('serves      order v1 from queue "default"');
  });

  it('signals a run with a payload from stdin, which ends it', async () => {
    await start('signal-1');
    expect(await run(['signal', 'signal-1', 'approved', '-'], { input: '{"by":"ann"}' })).toMatchObject({ code: 0 });
    await reaches('signal-1', 'completed');
    expect((await app.client.describe('signal-1')).output).toBe('shipped for ann');
    expect(await run(['signal', 'signal-1', 'approved'])).toMatchObject({ code: 4, err: expect.stringContaining('RUN_ENDED') });
    expect(await run(['signal', 'signal-1', 'approved', '{by'])).toMatchObject({ code: 2, err: expect.stringContaining('must be JSON') });
  });

  it('follows a run until it has ended', async () => {
    await start('tail-1');
    const lines: string[] = [];
    const following = run(['tail', 'tail-1', '--json'], {
      interruptWhen: (out) => {
        if (out.includes('wait_open') && lines.length === 0) {
          lines.push('signalled');
          void run(['signal', 'tail-1', 'approved']);
        }
        return false;
      },
    });
    const { code, out } = await following;
    const kinds = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).kind as string);
    expect(code).toBe(0);
    expect(kinds).toEqual(expect.arrayContaining(['run_created', 'wait_open', 'signal_completed', 'run_completed']));
    expect(new Set(out.split('\n')).size).toBe(out.split('\n').length);
  });

  it('follows runs that start, pause and end', async () => {
    await start('before-1', 'good', { follow: 'yes' });
    let step = 0;
    const next = [
      () => app.client.start(OrderWorkflow, { card: 'declined' as const }, { id: 'follow-1', tags: { follow: 'yes' } }),
      () => app.client.pause('before-1'),
      () => app.client.terminate('before-1'),
    ];
    const expected = ['Ctrl-C', '"failed"', '"paused"', '"cancelled"'];
    const { code, out } = await run(['tail', '--tag', 'follow=yes', '--json'], {
      interruptWhen: (soFar, err) => {
        while (step < expected.length && `${err}${soFar}`.includes(expected[step]!)) void next[step++]?.();
        return step === expected.length;
      },
    });
    const events = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .map(({ event, runId }) => `${runId} ${event}`);
    expect(code).toBe(0);
    expect(events).toEqual(['follow-1 started', 'follow-1 failed', 'before-1 paused', 'before-1 cancelled']);
  });

  it('refuses to change many runs when nobody confirms', async () => {
    await start('bulk-1', 'good', { bulk: 'a' });
    const terminate = ['terminate', '--tag', 'bulk=a'];
    expect(await run(terminate)).toMatchObject({
      code: 5,
      out: '',
      err: expect.stringContaining('This ends 1 run and executes none of the code. Nothing was changed: add --yes'),
    });
    expect(await run(terminate, { answer: 'n' })).toMatchObject({ code: 5, err: expect.stringContaining('Continue? [y/N]') });
    expect(await run(['terminate', 'bulk-1'])).toMatchObject({ code: 5 });
    expect(await run([...terminate, '--dry-run'])).toMatchObject({ code: 0, out: '1 run would be changed. Nothing was changed.\n' });
    expect(await app.client.status('bulk-1')).toBe('waiting');
    expect(await run(terminate, { answer: 'yes' })).toMatchObject({
      code: 0,
      out: expect.stringContaining('completed: 1 run changed, 0 skipped, of 1'),
    });
    expect(await app.client.status('bulk-1')).toBe('cancelled');
  });

  it('cancels and retries all runs of a filter, and records who did it', async () => {
    for (const id of ['many-1', 'many-2']) await start(id, 'good', { many: 'yes' });
    await start('many-3', 'declined', { many: 'yes' });
    expect(await json(['cancel', '--tag', 'many=yes', '--yes', '--actor', 'ann'])).toMatchObject({ state: 'completed', done: 2, count: 2 });
    await Promise.all(['many-1', 'many-2'].map((id) => reaches(id, 'cancelled')));
    const { entries } = await app.client.history('many-1');
    expect(entries.find(({ kind }) => kind === 'cancel_requested')?.data).toMatchObject({ actor: 'ann' });
    expect(await json(['retry', '--tag', 'many=yes', '--yes'])).toMatchObject({ state: 'completed', done: 1 });
    await waitFor(async () => (await app.client.describe('many-3')).generation === 1);
  });

  it('deletes an ended run after a confirmation, and refuses one that has not ended', async () => {
    await start('delete-1', 'declined', { delete: 'yes' });
    await start('delete-2', 'good', { delete: 'yes' });
    expect(await run(['delete', 'delete-1'])).toMatchObject({ code: 5 });
    expect(await run(['delete', 'delete-2', '--yes'])).toMatchObject({ code: 4, err: expect.stringContaining('RUN_NOT_ENDED') });
    const { code, out, err } = await run(['delete', 'delete-1', '--actor', 'ann', '--reason', 'test'], { answer: 'y' });
    expect({ code, out }).toEqual({ code: 0, out: 'Deleted run "delete-1".\n' });
    expect(err).toContain('run "delete-1" was deleted by ann: test\n');
    expect(await run(['show', 'delete-1'])).toMatchObject({ code: 3 });
    await run(['terminate', 'delete-2', '--yes']);
    expect(await json(['delete', '--tag', 'delete=yes', '--yes'])).toMatchObject({ state: 'completed', done: 1 });
  });

  it('refuses in a dry run of a single run what the command refuses', async () => {
    await start('dry-waiting');
    await start('dry-failed', 'declined');
    await start('dry-completed');
    await run(['signal', 'dry-completed', 'approved']);
    await reaches('dry-completed', 'completed');
    const cases: [string[], number, string][] = [
      [['delete', 'dry-waiting'], 4, 'RUN_NOT_ENDED: '],
      [['terminate', 'dry-completed'], 4, 'RUN_ENDED: '],
      [['cancel', 'dry-completed'], 4, 'RUN_ENDED: '],
      [['retry', 'dry-completed'], 4, 'RUN_NOT_RETRYABLE: '],
      [['retry', 'dry-failed', '--from-step', 'fly'], 2, 'INVALID_INPUT: --from-step names no recorded step'],
      [['cancel', 'nobody'], 3, 'RUN_NOT_FOUND: '],
    ];
    for (const [argv, code, error] of cases) {
      const dry = await run([...argv, '--dry-run']);
      expect({ argv, ...dry }).toMatchObject({ argv, code, out: '', err: expect.stringContaining(error) });
      expect(await run(argv[0] === 'delete' || argv[0] === 'terminate' ? [...argv, '--yes'] : argv)).toEqual(dry);
    }
    expect((await run(['retry', 'dry-failed', '--from-step', 'charge', '--dry-run'])).out).toMatch(/^Would retry run "dry-failed" /);
    expect((await run(['cancel', 'dry-waiting', '--dry-run'])).out).toMatch(/^Would ask run "dry-waiting" .*, waiting\) to stop/);
  });

  it('forks a run, and resumes a paused one', async () => {
    await start('fork-1');
    const copy = await json(['fork', 'fork-1', '--from-step', 'charge']);
    await reaches(copy.runId, 'waiting');
    expect(await run(['pause', 'fork-1'])).toMatchObject({ code: 0 });
    await reaches('fork-1', 'paused');
    expect((await run(['resume', 'fork-1'])).out).toMatch(/it is (waiting|pending|running)\.\n/);
  });

  it('ends with a code for each kind of failure, in one line', async () => {
    const cases: [string[], number, RegExp][] = [
      [['show', 'nobody'], 3, /RUN_NOT_FOUND: .*nobody/],
      [['retry', 'fork-1'], 4, /RUN_NOT_RETRYABLE: /],
      [['runs', '--status', 'done'], 2, /INVALID_INPUT: --status must be/],
      [['runs', '--limit', '0'], 2, /INVALID_INPUT: --limit must be/],
      [['runs', '--created-after', 'yesterday'], 2, /USAGE: --created-after must be a time/],
      [['runs', '--limit', '-1'], 2, /USAGE: Option '--limit' argument is ambiguous$/m],
      [['runs', '--created-after', '1d', '--created-before', '2d'], 2, /: --created-before must be later than --created-after: /],
      [['failures', '--by', 'colour'], 2, /INVALID_INPUT: --by must be one or more of/],
      [['show'], 2, /USAGE: RUN is missing/],
      [['show', 'a', 'b'], 2, /USAGE: the argument "b" is not expected/],
      [['cancel'], 2, /USAGE: name a RUN, or give a filter/],
      [['cancel', 'a', '--name', 'b'], 2, /USAGE: give either a RUN or a filter/],
      [['cancel', 'a', '--rate', '1'], 2, /USAGE: --rate needs a filter/],
      [['retry', '--name', 'b', '--from-step', 'c'], 2, /USAGE: --from-step needs a RUN/],
      [['runs', '--schema', 'elsewhere'], 1, /CONFIGURATION: .*Run the migrations/],
      [['dance'], 2, /USAGE: there is no command "dance"/],
      [['runs', '--colour'], 2, /USAGE: Unknown option '--colour'/],
    ];
    for (const [argv, code, pattern] of cases) {
      const outcome = await run(argv);
      expect({ argv, ...outcome }).toMatchObject({ argv, code, out: '', err: expect.stringMatching(pattern) });
      expect(outcome.err.trim().split('\n')).toHaveLength(1);
    }
    expect(await run(['signal', 'fork-1', 'approved', '-'], { input: Buffer.from([0x22, 0xff, 0x22]) })).toMatchObject({
      code: 2,
      err: expect.stringContaining('USAGE: PAYLOAD on stdin must be UTF-8'),
    });
    expect(JSON.parse((await run(['show', 'nobody', '--json'])).err)).toMatchObject({ error: { code: 'RUN_NOT_FOUND' } });
    expect((await run(['show', 'nobody', '--verbose'])).err).toMatch(/\n +at /);
    expect(await command(['runs'])).toMatchObject({ code: 2, err: expect.stringContaining('no database is named') });
  });

  it('refuses two values for the key of a tag, and changes nothing', async () => {
    await start('tags-1', 'declined', { tags: 'second' });
    const twice = ['--tag', 'tags=first', '--tag', 'tags=second'];
    for (const argv of [['runs'], ['tail'], ['delete', '--yes'], ['terminate', '--yes']]) {
      const outcome = await run([...argv, ...twice], { interruptWhen: (_, err) => err.includes('Ctrl-C') });
      expect({ argv, ...outcome }).toMatchObject({
        code: 2,
        out: '',
        err: expect.stringContaining('USAGE: --tag gives "tags" two values, "first" and "second"'),
      });
    }
    expect(await run(['runs', '--tag', 'tags=second', '--tag', 'tags=second', '--count'])).toMatchObject({ out: '1\n' });
  });

  it('never prints the password of the database', async () => {
    const secret = 'hunter2-hunter2';
    const wrong = new URL(database.url);
    wrong.password = secret;
    wrong.pathname = '/missing';
    const refused = new URL(wrong);
    refused.port = '1';
    const urls = [wrong.href, refused.href, `postgres://u:${secret}#x@h/d`, `postgres://u:${secret}@a,b/d`, `mysql://u:${secret}@h/d`];
    for (const url of urls) {
      const asOption = await command(['runs', '--database-url', url, '--verbose']);
      const asVariable = await command(['doctor', '--verbose'], { url });
      const asArgument = await command(['runs', url, '--verbose'], { url: database.url });
      for (const { code, out, err } of [asOption, asVariable, asArgument]) {
        expect(code).not.toBe(0);
        expect(`${out}${err}`).not.toContain(secret);
      }
    }
    expect(await command(['runs'], { url: refused.href })).toMatchObject({ code: 6 });
    expect(await command(['runs'], { url: wrong.href })).toMatchObject({
      code: 1,
      err: expect.stringMatching(/CONFIGURATION: the database refuses the connection: /),
    });
  });

  it('escapes control characters of the database, and colours only its own text', async () => {
    await start('evil-1', 'declined');
    const error = { name: 'Evil', message: '\u001b]0;owned\u0007\r\nforged line\u202e \u009b31m', code: 'E\u001b[2J' };
    await database.query(`UPDATE durable.workflow_runs SET error = $1, error_code = $2, failed_step = $3 WHERE id = 'evil-1'`, [
      JSON.stringify(error),
      error.code,
      'x\u001b[1A',
    ]);
    for (const argv of [
      ['show', 'evil-1'],
      ['runs', '--error-code', error.code],
      ['failures'],
      ['show', 'evil-1', '--json'],
      ['runs', '--json'],
    ]) {
      // oxlint-disable-next-line no-control-regex -- control characters are what it looks for
      expect((await run(argv)).out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
    }
    expect((await run(['show', 'evil-1'])).out).toContain(String.raw`\u001b]0;owned\u0007\r\nforged line`);
    expect((await json(['show', 'evil-1'])).run.error.message).toBe(error.message);
    expect((await run(['show', 'evil-1'], { hasColors: true })).out).toContain('\u001b[31mfailed\u001b[0m');
  });

  it('shows payloads that only the application can read as unreadable', async () => {
    await start('codec-1');
    await database.query(`UPDATE durable.workflow_runs SET input = '{"$durable":"encoded","value":"AAAA"}' WHERE id = 'codec-1'`);
    expect((await run(['show', 'codec-1', '--payloads'])).out).toMatch(/input +UnreadablePayload .*a payload codec encoded it/);
    expect((await json(['show', 'codec-1', '--payloads'])).run.input).toEqual({ unreadable: expect.stringContaining('codec') });
  });
});
