/** Sets the wall clock of this process wrong by so many milliseconds. */
export function skewClock(ms: number): void {
  const RealDate = Date;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args: [], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [RealDate.now() + ms] : args, newTarget) as Date,
    get: (target, property, receiver) =>
      property === 'now' ? () => RealDate.now() + ms : (Reflect.get(target, property, receiver) as unknown),
  });
}
