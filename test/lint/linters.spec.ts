import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { configs } from '../../src/eslint/index.js';

const PLUGIN = join(process.cwd(), 'node_modules/.cache/nestjs-durable-tests/src/eslint/index.js');
const WORKFLOWS = join(process.cwd(), 'test/lint/billing.workflows.ts.txt');
const { rules } = configs.recommended;

interface Result {
  /** Findings as `file:line rule`, sorted. */
  findings: string[];
  files: number;
}

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'durable-lint-'));
  const isSource = (path: string): boolean => !/node_modules|dist$|build$/.test(relative(process.cwd(), path));
  for (const each of ['sample', 'test/packages']) cpSync(each, join(folder, each), { recursive: true, filter: isSource });
  cpSync(WORKFLOWS, join(folder, 'billing.ts'));
  const parser = pathToFileURL(join(process.cwd(), 'node_modules/@typescript-eslint/parser/dist/index.js')).href;
  writeFileSync(
    join(folder, 'eslint.config.mjs'),
    `import parser from '${parser}';
    import durable from '${pathToFileURL(PLUGIN).href}';
    const plugins = { 'nestjs-durable': durable.default };
    export default [{ files: ['**/*.ts'], languageOptions: { parser }, plugins }, durable.default.configs.recommended];`,
  );
  writeFileSync(
    join(folder, 'oxlint.json'),
    JSON.stringify({ plugins: [], categories: { correctness: 'off' }, jsPlugins: [PLUGIN], rules }),
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a linter in the folder. A linter that finds something exits with 1. */
function execute(script: string, options: string[]): Promise<string> {
  const command = [join(process.cwd(), 'node_modules', script), ...options];
  return new Promise((resolve, reject) => {
    execFile(process.execPath, command, { cwd: folder, maxBuffer: 2 ** 26 }, (error, stdout, stderr) => {
      if (error && error.code !== 1) reject(new Error(`${script} failed: ${stderr}${stdout}`));
      else resolve(stdout);
    });
  });
}

async function eslint(name: string): Promise<Result> {
  const output = await execute(`${name}/bin/eslint.js`, ['--format', 'json', 'billing.ts', 'sample', 'test/packages']);
  const files = JSON.parse(output) as { filePath: string; messages: { ruleId: string; line: number }[] }[];
  const findings = files.flatMap(({ filePath, messages }) =>
    messages.map(({ ruleId, line }) => `${relative(folder, filePath)}:${line} ${ruleId.replace('nestjs-durable/', '')}`),
  );
  return { findings: findings.toSorted(), files: files.filter(({ filePath }) => filePath.endsWith('.ts')).length };
}

async function oxlint(): Promise<Result> {
  const output = await execute('oxlint/bin/oxlint', ['-c', 'oxlint.json', '-f', 'json', 'billing.ts', 'sample', 'test/packages']);
  const { diagnostics, number_of_files: files } = JSON.parse(output) as {
    diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[];
    number_of_files: number;
  };
  const findings = diagnostics.map(({ code, filename, labels }) => `${filename}:${labels[0]!.span.line} ${/\((.*)\)/.exec(code)?.[1]}`);
  return { findings: findings.toSorted(), files };
}

/** Returns the findings that the comments of the file ask for. */
function expected(): string[] {
  const lines = readFileSync(WORKFLOWS, 'utf8').split('\n');
  return lines
    .flatMap((line, index) => (/\/\/ finds (no-\S+)$/.exec(line) ?? []).slice(1).map((rule) => `billing.ts:${index + 1} ${rule}`))
    .toSorted();
}

describe('the lint rules in workflows as applications write them, in the samples and in test/packages', () => {
  it.each([
    ['ESLint 9', () => eslint('eslint-9')],
    ['ESLint 10', () => eslint('eslint')],
    ['oxlint', oxlint],
  ] as const)('report each mistake and nothing else in %s', async (_linter, lint) => {
    const { findings, files } = await lint();
    expect(findings).toEqual(expected());
    expect(new Set(findings.map((finding) => finding.split(' ')[1])).size).toBe(Object.keys(rules).length);
    // The samples and packages were read too.
    expect(files).toBeGreaterThan(40);
  });

  it('have fixes and suggestions that oxlint applies, and that change no other line', async () => {
    const file = join(folder, 'fixed.ts');
    cpSync(WORKFLOWS, file);
    await execute('oxlint/bin/oxlint', ['-c', 'oxlint.json', '--fix', '--fix-suggestions', 'fixed.ts']);
    const before = readFileSync(WORKFLOWS, 'utf8').split('\n');
    const after = readFileSync(file, 'utf8').split('\n');
    expect(after).toHaveLength(before.length);
    const changed = after.filter((line, index) => line !== before[index]);
    expect(changed.map((line) => line.replace(/ \/\/ finds .*/, '').trim())).toEqual([
      'const begun = context.now().getTime();',
      'const id = context.uuid();',
      "const known = await context.step('findOneBy', () => this.repository.findOneBy({ id }));",
      "await context.step('transaction', () => this.dataSource.transaction((manager) => manager.save(known)));",
      'await context.sleep(retryDelay(2));',
      'await context.sleep(50);',
      'await this.invoices.create(plan);',
      'const expired = plan.seats.filter((seat) => seat.until !== undefined && seat.until < context.now());',
      "if (this.invoices.isOverdue(plan.since)) await context.sleep('1 day');",
      'return `${cents} after ${context.now().getTime() - begun} ms`;',
    ]);
  });
});
