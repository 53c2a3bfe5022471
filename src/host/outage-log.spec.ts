import { afterEach, describe, expect, it } from '@jest/globals';

import { waitFor } from '../../test/support/wait.js';
import { OutageLog } from './outage-log.js';

describe('OutageLog', () => {
  const lines: string[] = [];
  const log = new OutageLog((...[level, line]) => void lines.push(`${level}: ${line}`), 50);
  afterEach(() => {
    log.close();
    lines.length = 0;
  });

  it('writes one line for all failures, one while the outage lasts, and one at its end', async () => {
    const away = new Error('connect ECONNREFUSED');
    for (let n = 0; n < 100; n++) log.failed(n === 0 ? 'due runs could not be claimed' : 'something else', away);
    log.failed('something else', new Error('the database system is starting up'));
    expect(lines).toEqual(['warn: database: unreachable; trying again: connect ECONNREFUSED (due runs could not be claimed)']);
    await waitFor(() => lines.length === 3);
    expect(lines[1]).toBe(
      'warn: database: unreachable for 0 s (100 tries since the last line); trying again: the database system is starting up',
    );
    expect(lines[2]).toBe('log: database: answers again after about 0 s');
    log.failed('again', away);
    expect(lines[3]).toContain('(again)');
  });

  it('writes nothing after its end', () => {
    const ended = new OutageLog((...[level, line]) => void lines.push(`${level}: ${line}`), 50);
    ended.end();
    ended.failed('a sweep', new Error('Connection terminated'));
    expect(lines).toEqual([]);
  });

  it('logs another cause at once, and only the first time', () => {
    log.failed('a claim', Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
    for (let n = 0; n < 3; n++) {
      log.failed('a claim', Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
      log.failed('a claim', Object.assign(new Error('no password'), { code: 'PASSWORD_UNAVAILABLE' }));
    }
    expect(lines.slice(1)).toEqual(['warn: database: unreachable for another reason: no password (a claim)']);
  });
});
