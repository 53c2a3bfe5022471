import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { afterAll, afterEach, beforeAll, beforeEach, expect } from '@jest/globals';
import type { INestApplication, Provider } from '@nestjs/common';
import type { Browser, Locator, Page } from 'playwright-core';

import type { DashboardOptions, WorkflowModuleOptions } from '../../src/index.js';
import { closeApplications } from '../support/application.js';
import { launchChromium } from '../support/chromium.js';
import { serveDashboard, type DashboardApplication } from '../support/dashboard-application.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import type { HttpPlatform } from '../support/http-platforms.js';
import { seconds, waitFor } from '../support/wait.js';

/** Folder of the screenshots. */
export const PICTURES = 'build/screenshots';

const AXE = readFileSync(createRequire(__filename).resolve('axe-core/axe.min.js'), 'utf8');

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** Settings of a served application beside the options of the dashboard. */
export interface ServeOptions {
  readonly platform?: HttpPlatform;
  readonly options?: WorkflowModuleOptions;
  readonly prepare?: (app: INestApplication) => void;
}

/** Chromium with one page of the dashboard, and a database of its own for each test. */
export class DashboardDriver {
  database!: TestDatabase;
  page!: Page;
  /** Errors of the console: thrown errors, refused files and violations of the policy. */
  problems: string[] = [];
  #browser: Browser | undefined;

  /** Registers the hooks of the driver with Jest. */
  constructor(private readonly providers: Provider[]) {
    beforeAll(async () => {
      this.#browser = await launchChromium();
      mkdirSync(PICTURES, { recursive: true });
    });
    beforeEach(() => this.#begin());
    afterEach(async () => {
      await this.page.close();
      await closeApplications();
      await this.database.drop();
      expect(this.problems).toEqual([]);
    });
    afterAll(() => this.#browser?.close());
  }

  async #begin(): Promise<void> {
    this.database = await createTestDatabase();
    this.problems = [];
    this.page = await this.#browser!.newPage({ viewport: { width: 1280, height: 900 } });
    this.page.setDefaultTimeout(seconds(30));
    this.page.on('pageerror', (error) => this.problems.push(error.message));
    this.page.on('console', (message) => {
      // Refusals by the API are part of some tests.
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) this.problems.push(message.text());
    });
  }

  serve(options: DashboardOptions = { guards: [], actor: () => 'ann' }, more: ServeOptions = {}): Promise<DashboardApplication> {
    return serveDashboard(this.database.url, options, this.providers, more);
  }

  /** Waits until the page shows its data. */
  async loaded(): Promise<void> {
    await this.page.locator('h1, .empty').first().waitFor();
    await waitFor(async () => (await this.page.locator('.skeleton').count()) === 0, { message: 'the data of the view' });
  }

  /** Opens an address, and waits for the data. */
  async open(address: string): Promise<void> {
    await this.page.goto(address);
    await this.loaded();
  }

  row(runId: string): Locator {
    return this.page.locator(`tr[data-run="${runId}"]`);
  }

  async shows(locator: Locator, text: string): Promise<void> {
    await waitFor(async () => (await locator.innerText()).includes(text), { message: `"${text}" on the page` });
  }

  dialog(): Locator {
    return this.page.locator('dialog[open]');
  }

  async dialogCloses(label: string): Promise<void> {
    await waitFor(async () => (await this.dialog().count()) === 0, { message: `the dialog of ${label} to close` });
  }

  /** Opens the dialog of an action, fills its fields, and confirms. */
  async act(label: string, confirm: string, fields: Readonly<Record<string, string>> = {}, within?: Locator): Promise<void> {
    await (within ?? this.page).getByRole('button', { name: `${label}…`, exact: true }).click();
    for (const [name, value] of Object.entries(fields)) await this.dialog().getByLabel(name, { exact: false }).fill(value);
    await this.dialog().getByRole('button', { name: confirm, exact: true }).click();
    await this.dialogCloses(label);
  }

  /** Opens the dialog of an action, and leaves it by Escape. The focus returns to the button. */
  async leave(label: string, within?: Locator): Promise<void> {
    await (within ?? this.page).getByRole('button', { name: `${label}…`, exact: true }).click();
    await waitFor(() => this.page.evaluate<boolean>(`document.activeElement.matches('dialog[open] :is(input, select, textarea)')`));
    await this.page.keyboard.press('Escape');
    await this.dialogCloses(label);
    expect(await this.page.evaluate('document.activeElement.textContent.trim()')).toBe(`${label}…`);
  }

  async expectAccessible(view: string): Promise<void> {
    await this.page.evaluate(`${AXE}; undefined`);
    const violations = await this.page.evaluate<Violation[]>('axe.run(document).then(({ violations }) => violations)');
    const found = violations.map(
      ({ id, nodes }) => `${view}: ${id} ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join(' | ')}`,
    );
    expect(found).toEqual([]);
  }
}
