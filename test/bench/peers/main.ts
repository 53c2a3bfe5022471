import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBench, type Bench } from '../bench.js';
import { describeMachine } from '../machine.js';
import { openServer } from '../server.js';
import { rounded } from '../statistics.js';
import { readPeerArguments, type PeerArguments } from './arguments.js';
import { installNode, installSystem, packOurs, type InstalledSystem } from './install.js';
import { measureSystem } from './measurement.js';
import { markdown, summarize, type SystemRounds } from './summary.js';
import { killSystems } from './system-process.js';
import { SLOTS, SYSTEMS, type PeerSystem } from './systems.js';

/** A burst that takes longer is cut, and what it completed counts. */
const BURST_LIMIT_MS = 60_000;

interface Prepared extends SystemRounds {
  readonly folder: string;
}

async function main(): Promise<void> {
  const options = readPeerArguments(
    process.argv.slice(2),
    SYSTEMS.map(({ name }) => name),
  );
  const home = mkdtempSync(join(tmpdir(), 'nestjs-durable-peers-'));
  const server = await openServer();
  const cleanUp = async (): Promise<void> => {
    await killSystems();
    await server.stop();
    if (options.keep) console.log(`the systems are in ${home}`);
    else rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  const interrupted = (signal: NodeJS.Signals): void => {
    console.error(`${signal}: cleaning up`);
    void cleanUp().finally(() => process.exit(1));
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    // Probes of the floor take their short form: there are two beside each burst.
    const bench = makeBench(server, { quick: true, only: [], json: undefined });
    const node = await installNode(home);
    const systems = await prepare(bench, home, options);
    await measure(bench, node, systems, options);
    const machine = { ...describeMachine(server, true), node: versionOf(node), runs: options.runs, rounds: options.rounds };
    const { cores, postgres } = machine;
    console.log(`\nNode ${machine.node} runs all systems, PostgreSQL ${postgres}, ${cores} cores; medians, ratios are paired\n`);
    console.log(markdown(systems, options.runs));
    if (options.json) writeFileSync(options.json, `${JSON.stringify(rounded(report(machine, systems)), undefined, 2)}\n`);
    // Ours must work. Others may not, and say so.
    const isOursMeasured = systems.every(({ system, variants }) => !system.isOurs || variants.every(({ rounds }) => rounds.length > 0));
    if (!isOursMeasured) process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}

/** Installs the requested systems. One that cannot be installed is skipped with its reason. */
async function prepare({ say }: Bench, home: string, options: PeerArguments): Promise<Prepared[]> {
  const chosen = SYSTEMS.filter(({ name }) => options.only?.includes(name) ?? true);
  const tarball = chosen.some(({ isOurs }) => isOurs) ? await packOurs(home) : '';
  const prepared: Prepared[] = [];
  for (const system of chosen) {
    const missing = system.missing?.(options);
    if (missing === undefined) say(`installing ${system.name} ...`);
    const installed = missing ?? (await tryInstall(home, system, tarball));
    const isInstalled = typeof installed !== 'string';
    if (!isInstalled) say(`${system.name} is skipped: ${installed}`);
    prepared.push({
      system,
      folder: isInstalled ? installed.folder : '',
      versions: isInstalled ? installed.versions : {},
      skipped: isInstalled ? undefined : installed,
      variants: isInstalled ? system.variants.map((variant) => ({ variant, rounds: [], failures: [] })) : [],
    });
  }
  return prepared;
}

async function tryInstall(home: string, system: PeerSystem, tarball: string): Promise<InstalledSystem | string> {
  try {
    return await installSystem(home, system, tarball);
  } catch (error) {
    return `it could not be installed: ${messageOf(error).split('\n').slice(0, 3).join(' ')}`;
  }
}

/** Measures every variant once a round. Each round begins with another one. */
async function measure(bench: Bench, node: string, systems: readonly Prepared[], options: PeerArguments): Promise<void> {
  const { runs, rounds, absurdSchema } = options;
  const all = systems.flatMap(({ system, folder, variants }) => variants.map((each) => ({ ...each, system, folder })));
  for (let round = 0; round < rounds; round++) {
    const first = Math.floor((round * all.length) / rounds);
    for (const { system, folder, variant, rounds: done, failures } of [...all.slice(first), ...all.slice(0, first)]) {
      const label = `${round + 1}/${rounds} ${system.name}, ${variant.name}`;
      const { settings } = variant;
      const task = { adapter: system.name, slots: SLOTS, runs, limitMs: BURST_LIMIT_MS, settings, folder, schemaFile: absurdSchema };
      try {
        const measured = await measureSystem(bench, node, task);
        done.push(measured);
        const { runsPerSecond, unbatchedPerSecond } = measured;
        bench.say(`${label}: ${runsPerSecond.toFixed(0)} runs/s, floor ${unbatchedPerSecond.toFixed(0)}`);
      } catch (error) {
        failures.push(messageOf(error));
        bench.say(`${label} failed: ${messageOf(error)}`);
      }
    }
  }
}

function report(machine: object, systems: readonly SystemRounds[]) {
  return {
    machine,
    systems: systems.map(({ system, versions, skipped, variants }) => ({
      name: system.name,
      versions,
      hasDurableSteps: system.hasDurableSteps,
      lacks: system.lacks,
      skipped,
      variants: variants.map(({ variant, rounds, failures }) => ({
        ...variant,
        ...(rounds.length > 0 ? summarize(rounds) : {}),
        rounds,
        failures,
      })),
    })),
  };
}

function versionOf(node: string): string {
  return execFileSync(node, ['--version'], { encoding: 'utf8' }).trim().slice(1);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

await main();
