/**
 * Leaves out the warnings about a blocked event loop, which a machine under load causes too. For
 * tests that expect no other line.
 */
export function withoutStalls<Line>(lines: readonly Line[]): Line[] {
  return lines.filter((line) => !/\[event-loop-blocked\]|"code":"event-loop-blocked"/.test(String(line)));
}
