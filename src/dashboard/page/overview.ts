import { createContext } from 'preact';
import { useContext } from 'preact/hooks';

import type { Overview } from '../api/overview.js';

/** Facts about the module and the user. */
export type KnownOverview = Omit<Overview, 'now'>;

export const OverviewContext = createContext<KnownOverview>({
  isReadOnly: true,
  showsPayloads: false,
  actor: undefined,
  module: undefined,
  hasWorld: false,
});

export function useOverview(): KnownOverview {
  return useContext(OverviewContext);
}
