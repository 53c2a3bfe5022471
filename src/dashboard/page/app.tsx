import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';

import type { Overview } from '../api/overview.js';
import { OverviewContext, type KnownOverview } from './overview.js';
import { Modal } from './parts/dialog.js';
import { Empty, Failure, Text, ViewHead } from './parts/basics.js';
import { Icon, type IconName } from './parts/icon.js';
import { useKeys } from './keys.js';
import { useResource } from './resource.js';
import { go, href, usePlace, type Place } from './router.js';
import { applyTheme, nextTheme, readTheme } from './theme.js';
import { noteClock } from './times.js';
import { EventsView } from './views/events.js';
import { FailuresView } from './views/failures.js';
import { HealthView } from './views/health.js';
import { QueuesView } from './views/queues.js';
import { RunView } from './views/run.js';
import { RunsView } from './views/runs.js';
import { SchedulesView } from './views/schedules.js';
import { WorkersView } from './views/workers.js';
import { WorkflowsView } from './views/workflows.js';
import { WorldView } from './views/world.js';

interface Link {
  readonly path: string;
  readonly label: string;
  readonly icon: IconName;
  readonly key: string;
}

const LINKS: readonly Link[] = [
  { path: 'runs', label: 'Runs', icon: 'runs', key: 'g r' },
  { path: 'workflows', label: 'Workflows', icon: 'workflows', key: 'g w' },
  { path: 'failures', label: 'Failures', icon: 'failures', key: 'g f' },
  { path: 'queues', label: 'Queues', icon: 'queues', key: 'g q' },
  { path: 'schedules', label: 'Schedules', icon: 'schedules', key: 'g s' },
  { path: 'events', label: 'Events', icon: 'events', key: 'g e' },
  { path: 'workers', label: 'Workers', icon: 'workers', key: 'g p' },
  { path: 'health', label: 'Health', icon: 'health', key: 'g h' },
];

/** View of an application that also runs the Workflow DevKit. */
const WORLD: Link = { path: 'world', label: 'Workflow DevKit', icon: 'world', key: 'g d' };

function linksOf({ hasWorld }: KnownOverview): readonly Link[] {
  return hasWorld ? [...LINKS, WORLD] : LINKS;
}

/** The page: the frame, and the view that the address names. */
export function App(): JSX.Element {
  const place = usePlace();
  const overview = useResource<Overview>('overview', 60_000);
  const [isHelpOpen, setHelpOpen] = useState(false);
  const { data } = overview;
  useEffect(() => {
    if (data) noteClock(data.now);
  }, [data]);
  useKeys({
    '?': () => setHelpOpen(true),
    ...Object.fromEntries(linksOf(data ?? UNKNOWN).map(({ key, path }) => [key, () => go(href([path]))])),
  });
  return (
    <OverviewContext.Provider value={data ?? UNKNOWN}>
      <div class="frame">
        <Side place={place} overview={data} openHelp={() => setHelpOpen(true)} />
        <main class="main" id="main">
          {overview.error && !data && <Failure error={overview.error} retry={overview.reload} />}
          <View place={place} />
        </main>
      </div>
      {isHelpOpen && <Help close={() => setHelpOpen(false)} />}
    </OverviewContext.Provider>
  );
}

/** Until the facts are known, nothing can be changed. */
const UNKNOWN: KnownOverview = { isReadOnly: true, showsPayloads: false, actor: undefined, module: undefined, hasWorld: false };

function View({ place }: { readonly place: Place }): JSX.Element {
  const [view = 'runs', id] = place.parts;
  switch (view) {
    case 'runs':
      return id === undefined ? <RunsView query={place.query} /> : <RunView key={id} runId={id} query={place.query} />;
    case 'workflows':
      return <WorkflowsView />;
    case 'failures':
      return <FailuresView query={place.query} />;
    case 'queues':
      return <QueuesView />;
    case 'schedules':
      return <SchedulesView query={place.query} />;
    case 'events':
      return <EventsView query={place.query} />;
    case 'world':
      return <WorldView query={place.query} />;
    case 'workers':
      return <WorkersView />;
    case 'health':
      return <HealthView />;
    default:
      return (
        <Empty title="There is no such view">
          <ViewHead title="Not found" />
          <a href={href(['runs'])}>Show all runs</a>
        </Empty>
      );
  }
}

function Side(props: { readonly place: Place; readonly overview: KnownOverview | undefined; readonly openHelp: () => void }): JSX.Element {
  const { place, overview, openHelp } = props;
  const [theme, setTheme] = useState(readTheme);
  const [current = 'runs'] = place.parts;
  const changeTheme = (): void => {
    const next = nextTheme(theme);
    applyTheme(next);
    setTheme(next);
  };
  return (
    <header class="side">
      <a
        class="skip"
        href="#main"
        onClick={(event) => (event.preventDefault(), document.querySelector<HTMLElement>('h1')?.scrollIntoView())}
      >
        Skip to content
      </a>
      <div class="brand">
        <span class="mark" aria-hidden="true" />
        <b>durable</b>
        {overview?.module !== undefined && (
          <span class="tag">
            <Text value={overview.module} length={24} />
          </span>
        )}
      </div>
      <nav aria-label="Views">
        {linksOf(overview ?? UNKNOWN).map(({ path, label, icon }) => (
          <a key={path} href={href([path])} aria-current={path === current ? 'page' : undefined}>
            <Icon name={icon} />
            <span>{label}</span>
          </a>
        ))}
      </nav>
      <div class="side-foot">
        {overview?.isReadOnly && <span class="tag">read-only</span>}
        {overview?.actor !== undefined && !overview.isReadOnly && (
          <span class="small muted actor" title="Name with which your changes are recorded">
            <Text value={overview.actor} length={24} />
          </span>
        )}
        <button type="button" class="quiet" aria-label={`Theme: ${theme}`} title={`Theme: ${theme}`} onClick={changeTheme}>
          <Icon name="theme" />
        </button>
        <button type="button" class="quiet" aria-label="Keys" title="Keys (?)" onClick={openHelp}>
          <Icon name="help" />
        </button>
      </div>
    </header>
  );
}

const KEYS: readonly (readonly [keys: string, meaning: string])[] = [
  ['/', 'Search'],
  ['j  k', 'Next and previous row'],
  ['Enter', 'Open the row'],
  ['n  p', 'Next and previous page'],
  ...LINKS.map(({ key, label }) => [key, label] as const),
  ['?', 'This list'],
];

function Help({ close }: { readonly close: () => void }): JSX.Element {
  return (
    <Modal title="Keys" close={close}>
      <dl class="keys dialog-body">
        {KEYS.map(([keys, meaning]) => (
          <div key={keys}>
            <dt>
              {keys.split('  ').map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
