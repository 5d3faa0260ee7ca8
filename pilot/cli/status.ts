/** `heddle pilot status`: for every sidecar what it runs, what is pending, what it refused last and why. */
import { showProblem } from '../../kit/parse.ts';
import type { Version } from '../../mesh/model.ts';
import type { StatusBody } from '../api/shapes.ts';
import type { SidecarStatus } from '../api/sidecar-status.ts';
import type { CommandContext } from './context.ts';
import { ageOf, counted, table } from './table.ts';

export interface StatusFlags {
  readonly output: 'table' | 'json';
}

export async function status({ io, client }: CommandContext, flags: StatusFlags): Promise<void> {
  const body = await client.get<StatusBody>('/v1/status');
  if (flags.output === 'json') {
    io.out(`${JSON.stringify(body, undefined, 2)}\n`);
    return;
  }
  const { counts } = body;
  io.out(`world ${showVersion(body.version)} of ${body.trustDomain}, store ${body.store}`);
  io.out(body.isCurrent ? '\n' : ' (away: this is the last good world)\n');
  const { resources, nodes, instances } = counts;
  io.out(
    `${counted(resources, 'resource')}, ${counted(nodes, 'node')}, ${counted(instances, 'instance')}\n\n`,
  );
  if (body.sidecars.length === 0) {
    io.err('no sidecar is connected to this pilot\n');
    return;
  }
  const nowMs = io.clock.wallMs();
  io.out(
    table(
      ['SIDECAR', 'NODE', 'ACKED', 'PENDING', 'LAST NACK'],
      body.sidecars.map((sidecar) => [
        sidecar.sidecar,
        sidecar.node,
        sidecar.acked === undefined ? '-' : showVersion(sidecar.acked),
        showPending(sidecar, nowMs),
        sidecar.nack === undefined
          ? '-'
          : `${showVersion(sidecar.nack.version)}, ${ageOf(sidecar.nack.atMs, nowMs)} ago`,
      ]),
    ),
  );
  for (const { sidecar, nack } of body.sidecars) {
    for (const problem of nack?.problems ?? []) io.out(`${sidecar}: ${showProblem(problem)}\n`);
  }
}

function showVersion({ epoch, revision }: Version): string {
  return `${epoch}.${revision}`;
}

function showPending({ pending }: SidecarStatus, nowMs: number): string {
  if (pending === undefined) return '-';
  const version = showVersion(pending.version);
  if (pending.withheld !== undefined) return `${version} withheld: ${pending.withheld}`;
  return pending.sinceMs === undefined ? version : `${version} for ${ageOf(pending.sinceMs, nowMs)}`;
}
