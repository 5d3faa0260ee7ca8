/** What the launcher shows: what runs, what to try, and how the visitors fare. */
import type { Instance } from './agent-status.ts';

export interface Shown {
  readonly instances: readonly Instance[];
  readonly webUrl: string;
  readonly countsUrl: string;
  readonly proxy: string;
  readonly pilotPid: number;
  /** How the command line is called from the current folder. */
  readonly heddle: string;
  readonly example: string;
}

export interface Counts {
  readonly requests: number;
  readonly failures: number;
  readonly lastFailure?: string;
  readonly pricedBy: Readonly<Record<string, number>>;
}

const header = ['SERVICE', 'INSTANCE', 'NODE', 'PORTS', 'IDENTITY', 'CERTIFICATE UNTIL'];

export function tableOf(instances: readonly Instance[]): string {
  const rows = instances.map((instance) => {
    const [name = '', node = ''] = instance.id.split('@');
    const plain = instance.ports.flatMap(({ plainPort }) => plainPort ?? []);
    const link = instance.linkPort === 0 ? [] : [`link ${instance.linkPort}`];
    const ends = instance.certificateEndsMs;
    const until = ends === null ? '-' : `${new Date(ends).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
    const service = instance.workload.replace(/-v\d+$/, '');
    const ports = [...link, ...plain.map((port) => `plain ${port}`)].join(', ');
    return [service, name, node, ports, instance.identity, until];
  });
  const all = [header, ...rows.sort((a, b) => (a[1] ?? '').localeCompare(b[1] ?? ''))];
  const widths = header.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

export function commandsOf(shown: Shown): string {
  return [
    'Try, in another terminal:',
    '',
    '  a request through the mesh, as the visitors make it (their sidecar finds the service by its name):',
    `    curl -H 'Host: web.shop' '${shown.proxy}/api/offers?search=silk'`,
    '',
    '  all of pricing moved to v2, and who prices the offers from then on:',
    `    ${shown.heddle} pilot apply -f ${shown.example}/routes/pricing-v2.yaml`,
    `    curl ${shown.countsUrl}`,
    '',
    '  the pilot killed: traffic goes on, and the launcher brings it back:',
    `    kill -9 ${shown.pilotPid}`,
    '',
    `The front is also open to callers outside the mesh: ${shown.webUrl}`,
    'Ctrl-C ends everything.',
  ].join('\n');
}

/** One line about the visits since `before`. */
export function visitsLine(now: Counts, before: Counts | undefined): string {
  const priced = Object.entries(now.pricedBy)
    .map(([version, count]) => [version, count - (before?.pricedBy[version] ?? 0)] as const)
    .filter(([, count]) => count > 0);
  const total = priced.reduce((sum, [, count]) => sum + count, 0);
  const shares = priced.map(([version, count]) => `${version} ${Math.round((count / total) * 100)} %`);
  const failures = now.failures === 0 ? 'none failed' : `${now.failures} FAILED (last: ${now.lastFailure})`;
  return `${now.requests} visits, ${failures}; offers priced by ${shares.sort().join(', ') || 'nobody yet'}`;
}
