/** An agent's status for people: one line of each instance. */
import type { AgentStatus, InstanceStatusLine } from './control.ts';

const header = [
  'INSTANCE',
  'STATE',
  'SIDECAR',
  'APPLICATION',
  'RESTARTS',
  'PROXY',
  'LINK',
  'CERTIFICATE UNTIL',
  'REASON',
];

export function renderStatus(status: AgentStatus): string {
  const rows = [header, ...status.instances.map(rowOf)];
  const widths = header.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const pilot = status.pilot === null ? 'no pilot answers' : `pilot ${status.pilot}`;
  return `node ${status.node}, agent ${status.pid}, ${pilot}\n${lines.join('\n')}\n`;
}

function rowOf(line: InstanceStatusLine): string[] {
  return [
    line.id,
    line.state,
    line.sidecarPid === null ? '-' : String(line.sidecarPid),
    line.appPid === null ? '-' : String(line.appPid),
    String(line.restarts),
    line.proxy === '' ? '-' : line.proxy,
    line.linkPort === 0 ? '-' : String(line.linkPort),
    line.certificateEndsMs === null ? '-' : new Date(line.certificateEndsMs).toISOString(),
    line.reason,
  ];
}
