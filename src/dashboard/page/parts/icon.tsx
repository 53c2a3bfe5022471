import type { JSX } from 'preact';

// Paths of icons on a grid of 24, drawn as lines.
const PATHS = {
  runs: 'M4 6h10M4 12h16M4 18h7',
  workflows: 'M6 4v5a3 3 0 0 0 3 3h6a3 3 0 0 1 3 3v5M6 4l-2.5 2.5M6 4l2.5 2.5M18 20l-2.5-2.5M18 20l2.5-2.5',
  failures: 'M12 4 2.8 19.5h18.4zM12 10v4M12 16.8v.2',
  queues: 'M4 5h16v4H4zM4 11.5h16v4H4zM7 18.5h10',
  schedules: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2',
  events: 'M13 3 5 14h6l-1 7 8-11h-6z',
  world: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18',
  workers: 'M5 5h14v5H5zM5 14h14v5H5zM8 7.5h.1M8 16.5h.1',
  health: 'M3 12h4l3-7 4 14 3-7h4',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5 21 21',
  theme: 'M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z',
  help: 'M9 9a3 3 0 1 1 4 2.8c-.7.3-1 .9-1 1.7M12 17v.1M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  check: 'M5 12.5 10 17 19 7',
  close: 'M6 6l12 12M18 6 6 18',
  next: 'M9 5l7 7-7 7',
  step: 'M8 5l8 7-8 7z',
  sleep: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM12 8v4l3 2',
  signal: 'M12 12v8M8 8a5.5 5.5 0 0 1 8 0M5 5a10 10 0 0 1 14 0M12 12h.1',
  hook: 'M12 4v9a4 4 0 1 1-8 0M12 4l-3 3M12 4l3 3',
  child: 'M6 4v8a3 3 0 0 0 3 3h9M14 11l4 4-4 4',
  undo: 'M9 7 4 12l5 5M4 12h11a5 5 0 0 1 0 10h-2',
  mark: 'M12 4v16M5 9l7-5 7 5',
} as const;

export type IconName = keyof typeof PATHS;

/** A decorative icon. The text beside it, or the label of its button, says what it means. */
export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
