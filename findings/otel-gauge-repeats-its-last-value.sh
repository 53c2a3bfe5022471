#!/usr/bin/env bash
# @opentelemetry/sdk-metrics 2.12.1: a gauge that is no longer observed keeps its last value for ever.
#
# Guess:    an observable gauge whose callback observes nothing, because the source is away, is missing
#           from the next export, as it is missing from a Prometheus endpoint that leaves it out.
# Behavior: with cumulative temporality, the default, every later export repeats the last value, with a new
#           end time. The point looks fresh.
# Hurts:    alerts on gauges from a database or another server. While the server is away, "3 workers alive"
#           is exported again and again, and the alert for 0 does not fire. Export a gauge of its own that
#           says if the source answers, and use it in every alert.
#
# Exits with 0 while this holds, with 1 when the behavior has changed.
set -euo pipefail

folder=$(mktemp -d "${TMPDIR:-/var/tmp}/finding.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

printf '{ "private": true, "type": "module" }\n' >package.json
npm install --no-audit --no-fund --loglevel=error @opentelemetry/api@1.9.1 @opentelemetry/sdk-metrics@2.12.1 >/dev/null

cat >finding.mjs <<'JS'
import { AggregationTemporality, InMemoryMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';

const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 });
const meter = new MeterProvider({ readers: [reader] }).getMeter('finding');
let isAway = false;
meter.createObservableGauge('workers.alive').addCallback((result) => {
  if (!isAway) result.observe(3);
});
const valuesOfExport = async () => {
  exporter.reset();
  await reader.forceFlush();
  return exporter.getMetrics().flatMap(({ scopeMetrics }) =>
    scopeMetrics.flatMap(({ metrics }) => metrics.flatMap(({ dataPoints }) => dataPoints.map(({ value }) => value))),
  );
};
const before = await valuesOfExport();
isAway = true;
const after = [await valuesOfExport(), await valuesOfExport()];
console.log(`observed: ${before.join()}; not observed: ${after.map((values) => values.join() || 'nothing').join(', then ')}`);
JS

seen=$(node finding.mjs)
printf '@opentelemetry/sdk-metrics 2.12.1: %s\n' "$seen"
[ "$seen" = 'observed: 3; not observed: 3, then 3' ]
