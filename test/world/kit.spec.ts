import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { loadKit } from '../../src/world/kit.js';
import { resolveOptions } from '../../src/world/options.js';
import { kitFolder } from './support/kits.js';

describe('the kit of a World', () => {
  const install = (version: string, spec: number): string => {
    const folder = mkdtempSync(join(tmpdir(), 'world-kit-'));
    for (const name of ['world', 'errors']) {
      const target = join(folder, 'node_modules/@workflow', name);
      mkdirSync(target, { recursive: true });
      writeFileSync(join(target, 'package.json'), JSON.stringify({ name: `@workflow/${name}`, version, main: 'index.js' }));
      writeFileSync(join(target, 'index.js'), `exports.SPEC_VERSION_CURRENT = ${spec};`);
    }
    return folder;
  };

  it.each(['stable', 'beta5', 'beta7'])('is found in the folder of an application of %s', (line) => {
    expect(loadKit(join(kitFolder(line), 'workflows')).errors.EntityConflictError.name).toBe('EntityConflictError');
  });

  it('is refused by a version that is not supported, with an error that names the version', () => {
    for (const spec of [2, 4, 8]) {
      const folder = install(`9.9.${spec}`, spec);
      expect(() => loadKit(folder)).toThrow(`@workflow/world 9.9.${spec} (spec ${spec})`);
    }
    expect(() => loadKit(mkdtempSync(join(tmpdir(), 'world-kit-')))).toThrow('did not find @workflow/world');
  });

  it('puts new runs back to spec 6 where WORKFLOW_SEALED_LOG is 0, and goes on with runs of spec 7', () => {
    process.env.WORKFLOW_SEALED_LOG = '0';
    try {
      expect(loadKit(kitFolder('beta7'))).toMatchObject({ specVersion: 6, maxSpecVersion: 7 });
    } finally {
      delete process.env.WORKFLOW_SEALED_LOG;
    }
    expect(loadKit(kitFolder('beta7'))).toMatchObject({ specVersion: 7, maxSpecVersion: 7 });
  });

  it('needs options that are complete and known', () => {
    const databaseUrl = 'postgresql://localhost/app';
    expect(() => resolveOptions({ databaseUrl, concurrency: 0 })).toThrow('options.concurrency');
    expect(() => resolveOptions({ databaseUrl, schemaa: 'x' } as object)).toThrow('schemaa');
    expect(() => resolveOptions({ databaseUrl, qstash: { token: 't', targetUrl: 'ftp://x' } })).toThrow('targetUrl');
    expect(() => resolveOptions({ databaseUrl, qstash: { token: 't', targetUrl: 'https://x.example' } })).toThrow('currentSigningKey');
    expect(() => resolveOptions({ databaseUrl, baseUrl: 'x' })).toThrow('options.baseUrl');
    expect(resolveOptions({ databaseUrl })).toMatchObject({ schema: 'durable_world', deploymentId: 'default', qstash: undefined });
  });
});
