import fc from 'fast-check';

/** Workflow as data, which fast-check can generate and shrink. */
export type Node =
  | {
      readonly kind: 'step';
      readonly id: number;
      readonly name: string;
      readonly keyed: boolean;
      readonly takes: number;
      readonly fails: number;
    }
  | { readonly kind: 'sleep'; readonly id: number; readonly takes: number }
  /** Waits for a signal; endlessly when `takes` is 0. */
  | { readonly kind: 'signal'; readonly id: number; readonly name: SignalName; readonly takes: number }
  /** Waits for a signal, and is withdrawn after a while. */
  | { readonly kind: 'withdrawn'; readonly id: number; readonly name: SignalName; readonly takes: number }
  /** ctx.race. */
  | { readonly kind: 'first'; readonly branches: readonly Node[] }
  | { readonly kind: 'io'; readonly id: number; readonly takes: number }
  | { readonly kind: 'observe' }
  | { readonly kind: 'throw'; readonly id: number }
  | { readonly kind: 'seq'; readonly nodes: readonly Node[] }
  | { readonly kind: 'loop'; readonly times: number; readonly body: Node }
  | { readonly kind: 'together'; readonly how: 'all' | 'allSettled' | 'race' | 'any'; readonly branches: readonly Node[] }
  | { readonly kind: 'try'; readonly body: Node; readonly caught: Node; readonly after: Node }
  /** ctx.saga. */
  | { readonly kind: 'saga'; readonly id: number; readonly body: Node }
  /** Code that nothing awaits. */
  | { readonly kind: 'detached'; readonly body: Node };

/** Names of signals. There are few, so that waits compete for them. */
export type SignalName = 'x' | 'y';

/** Signal that is sent to the run after a number of units. */
export interface Sending {
  readonly name: SignalName;
  readonly at: number;
}

/** Number of attempts of a step. A step that fails as often fails for good. */
export const MAX_ATTEMPTS = 3;

export interface ProgramSpace {
  /** Ordinary I/O between steps. */
  readonly io: boolean;
  /** Parallel branches. */
  readonly together: boolean;
  /** Waits for signals, withdrawn waits and `ctx.race`. */
  readonly signals?: boolean;
  /** `ctx.race`, `ctx.saga`, and code that nothing awaits. */
  readonly sagas?: boolean;
}

/** Signals at any moment of a program's life. */
export function sendings(): fc.Arbitrary<Sending[]> {
  return fc.array(fc.record({ name: fc.constantFrom('x', 'y'), at: fc.integer({ min: 0, max: 40 }) }), { maxLength: 8 });
}

/** Programs of that space. Each step has an id of its own, which is also what it returns. */
export function programs({ io, together, signals = false, sagas = false }: ProgramSpace): fc.Arbitrary<Node> {
  const id = fc.constant(0);
  const takes = fc.integer({ min: 1, max: 9 });
  const step = fc.record({
    kind: fc.constant('step' as const),
    id,
    name: fc.constantFrom('a', 'b', 'c'),
    keyed: fc.boolean(),
    takes: fc.integer({ min: together ? 1 : 0, max: 9 }),
    fails: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: MAX_ATTEMPTS }) }),
  });
  const leaves: fc.WeightedArbitrary<Node>[] = [
    { weight: 8, arbitrary: step },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('sleep' as const), id, takes }) },
    { weight: 1, arbitrary: fc.constant({ kind: 'observe' as const }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('throw' as const), id }) },
  ];
  if (io) leaves.push({ weight: 3, arbitrary: fc.record({ kind: fc.constant('io' as const), id, takes: fc.integer({ min: 0, max: 9 }) }) });
  if (signals) {
    const name = fc.constantFrom('x', 'y');
    leaves.push(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('signal' as const), id, name, takes: fc.integer({ min: 0, max: 9 }) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('withdrawn' as const), id, name, takes }) },
    );
  }
  const { program } = fc.letrec<{
    program: Node;
    leaf: Node;
    seq: Node;
    loop: Node;
    together: Node;
    first: Node;
    try: Node;
    saga: Node;
    detached: Node;
  }>((tie) => ({
    program: fc.oneof(
      { depthSize: 'small', maxDepth: 4, withCrossShrink: true },
      tie('leaf'),
      tie('seq'),
      tie('loop'),
      tie('try'),
      ...(together ? [tie('together'), tie('together')] : []),
      ...(signals ? [tie('first'), tie('first')] : []),
      ...(sagas ? [tie('saga'), tie('saga'), tie('saga'), tie('first'), tie('detached')] : []),
    ),
    leaf: fc.oneof(...leaves),
    seq: fc.record({ kind: fc.constant('seq' as const), nodes: fc.array(tie('program'), { minLength: 1, maxLength: 4 }) }),
    loop: fc.record({ kind: fc.constant('loop' as const), times: fc.integer({ min: 1, max: 3 }), body: tie('program') }),
    together: fc.record({
      kind: fc.constant('together' as const),
      how: fc.constantFrom('all', 'allSettled', 'race', 'any'),
      branches: fc.array(tie('program'), { minLength: 1, maxLength: 4 }),
    }),
    first: fc.record({
      kind: fc.constant('first' as const),
      branches: fc.array(tie('program'), { minLength: 1, maxLength: 4 }),
    }),
    try: fc.record({ kind: fc.constant('try' as const), body: tie('program'), caught: tie('program'), after: tie('program') }),
    saga: fc.record({ kind: fc.constant('saga' as const), id, body: tie('program') }),
    detached: fc.record({ kind: fc.constant('detached' as const), body: tie('program') }),
  }));
  // Needs at least two steps, since one alone has no order.
  return fc
    .record({ kind: fc.constant('seq' as const), nodes: fc.array(program, { minLength: 2, maxLength: 5 }) })
    .map(numbered)
    .filter((node) => size(node) <= (sagas ? 20 : 40));
}

/** Gives every node an id of its own. */
function numbered<N extends Node>(node: N): N {
  let last = 0;
  return transformed(node, (each) => ('id' in each ? { ...each, id: ++last } : each)) as N;
}

/** The program with every node changed, from the top. */
export function transformed(node: Node, change: (node: Node) => Node): Node {
  const changed = change(node);
  const again = (each: Node): Node => transformed(each, change);
  switch (changed.kind) {
    case 'seq':
      return { ...changed, nodes: changed.nodes.map(again) };
    case 'loop':
    case 'saga':
    case 'detached':
      return { ...changed, body: again(changed.body) };
    case 'together':
    case 'first':
      return { ...changed, branches: changed.branches.map(again) };
    case 'try':
      return { ...changed, body: again(changed.body), caught: again(changed.caught), after: again(changed.after) };
    default:
      return changed;
  }
}

/** About how many transitions the program makes. */
export function size(node: Node): number {
  switch (node.kind) {
    case 'step':
      return 1 + node.fails;
    case 'sleep':
    case 'signal':
      return 2;
    case 'withdrawn':
      return 4;
    case 'seq':
      return sum(node.nodes);
    case 'loop':
      return node.times * size(node.body);
    case 'saga':
    case 'detached':
      return size(node.body);
    case 'together':
    case 'first':
      return sum(node.branches);
    case 'try':
      return sum([node.body, node.caught, node.after]);
    default:
      return 0;
  }
}

export function some(node: Node, test: (node: Node) => boolean): boolean {
  if (test(node)) return true;
  switch (node.kind) {
    case 'seq':
      return node.nodes.some((each) => some(each, test));
    case 'loop':
    case 'saga':
    case 'detached':
      return some(node.body, test);
    case 'together':
    case 'first':
      return node.branches.some((each) => some(each, test));
    case 'try':
      return [node.body, node.caught, node.after].some((each) => some(each, test));
    default:
      return false;
  }
}

function sum(nodes: readonly Node[]): number {
  return nodes.reduce((total, node) => total + size(node), 0);
}
