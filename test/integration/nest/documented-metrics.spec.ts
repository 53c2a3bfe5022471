import { readFile } from 'node:fs/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { startApplication, type TestApplication } from '../../support/application.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { parseExposition, type ParsedMetric } from '../../support/prometheus.js';

interface Documented {
  readonly prometheus: string;
  readonly opentelemetry: string;
  readonly unit: string;
}

/** Metrics that a process shows only with QStash. */
const ONLY_WITH_QSTASH = 'nestjs_durable_qstash_unsent_messages';

describe('docs/observability.md', () => {
  let app: TestApplication;
  let database: TestDatabase;
  let page: string;
  let documented: readonly Documented[];
  let metrics: ReadonlyMap<string, ParsedMetric>;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await startApplication(database.url, [], { worker: false });
    metrics = parseExposition(await app.client.metrics());
    page = await readFile('docs/observability.md', 'utf8');
    const rows = page.matchAll(/^\| `(nestjs_durable_\w+)` \| `([\w.]+)` \| `(.+?)` \|/gm);
    documented = [...rows].map(([, prometheus, opentelemetry, unit]) => ({
      prometheus: prometheus!,
      opentelemetry: opentelemetry!,
      unit: unit!,
    }));
  });
  afterAll(async () => {
    await app.close();
    await database.drop();
  });

  it('lists every metric, and no other', () => {
    const listed = documented.map(({ prometheus }) => prometheus);
    const shown = [...metrics.keys(), ...(metrics.has(ONLY_WITH_QSTASH) ? [] : [ONLY_WITH_QSTASH])];
    expect(listed.toSorted((one, other) => one.localeCompare(other))).toEqual(shown.toSorted((one, other) => one.localeCompare(other)));
  });

  it.each(['counter', 'gauge', 'histogram'])('gives each %s its name for OpenTelemetry', (type) => {
    const ofType = documented.filter(({ prometheus }) => metrics.get(prometheus)?.type === type);
    expect(ofType.length).toBeGreaterThan(5);
    for (const { prometheus, opentelemetry, unit } of ofType) {
      const ending = ({ s: '_seconds', By: '_bytes' }[unit] ?? '') + (type === 'counter' ? '_total' : '');
      expect(prometheus).toBe(opentelemetry.replaceAll('.', '_') + ending);
    }
  });

  it('uses only metrics that exist in its rules for alerts', () => {
    const rules = /^groups:[^]*?^```/m.exec(page)![0];
    const used = new Set([...rules.matchAll(/nestjs_durable_\w+/g)].map(([name]) => name));
    expect(used.size).toBeGreaterThan(10);
    for (const name of used) expect([...metrics.keys()]).toContain(name);
  });
});
