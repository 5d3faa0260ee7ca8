/**
 * Heddle beside nginx, HAProxy and Envoy, as one plaintext hop and as an mTLS pair, in one run on this machine:
 * CPU time per request, latency, memory. Prints the budgets' verdicts and exits with 1 when one is missed.
 *
 *   node bench/peers.ts [--quick] [--only hop|pair] [--seconds 3] [--rounds 3] [--connections 1,64,256]
 *                       [--source] [--out bench/results]
 *
 * Envoy takes part where the variable ENVOY names its binary or `envoy` is on PATH.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { judge } from './lab/budgets.ts';
import { type Contender, contenders, type Running, startBackend } from './lab/contenders.ts';
import { type Lab, openLab } from './lab/lab.ts';
import { type Measurement, measure, middle } from './lab/measure.ts';
import { machine, tableOf, verdictLines, versionOf, writeReport } from './lab/report.ts';

interface Plan {
  readonly seconds: number;
  readonly rounds: number;
  readonly connections: readonly number[];
  readonly only: string | undefined;
  readonly fromSource: boolean;
  readonly out: string;
}

const plan = readPlan();
const envoyPath = process.env['ENVOY'] ?? find('envoy');
const lab = openLab();
let missed = true;
process.once('SIGINT', () => void lab.close().finally(() => process.exit(130)));
try {
  const measurements = await measureAll(lab, plan);
  const verdicts = judge(measurements);
  print(tableOf(measurements));
  print(verdictLines(verdicts));
  const path = writeReport(plan.out, {
    at: new Date().toISOString(),
    secondsPerRound: plan.seconds,
    rounds: plan.rounds,
    machine: machine(),
    versions: {
      node: process.versions.node,
      nginx: versionOf('nginx', '-v'),
      haproxy: versionOf('haproxy', '-v'),
      ...(envoyPath === undefined ? {} : { envoy: versionOf(envoyPath, '--version') }),
    },
    measurements,
    verdicts,
  });
  print(`written: ${path}.md`);
  missed = verdicts.some(({ outcome }) => outcome !== 'kept');
} finally {
  await lab.close();
}
process.exitCode = missed ? 1 : 0;

/** All contenders run from the start; rounds take turns between them, so that a slow minute hits all alike. */
async function measureAll(lab: Lab, { only, fromSource, ...load }: Plan): Promise<Measurement[]> {
  const backendPort = await startBackend(lab);
  const all = contenders({ envoyPath, fromSource }).filter(
    ({ shape }) => only === undefined || shape === only,
  );
  const running: { contender: Contender; at: Running }[] = [];
  for (const contender of all) running.push({ contender, at: await contender.start(lab, backendPort) });

  const results: Measurement[] = [];
  for (const connections of load.connections) {
    const rounds = new Map<Contender, Measurement[]>(all.map((contender) => [contender, []]));
    for (let round = 0; round < load.rounds; round++) {
      for (const { contender, at } of running) {
        print(`${contender.shape} ${contender.name}, ${connections} connections, round ${round + 1}`);
        const result = await measure(contender, at, { connections, seconds: load.seconds });
        rounds.get(contender)?.push(result);
      }
    }
    for (const measured of rounds.values()) results.push(middle(measured));
  }
  return results.sort((a, b) => a.shape.localeCompare(b.shape) || a.connections - b.connections);
}

function readPlan(): Plan {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      connections: { type: 'string' },
      source: { type: 'boolean', default: false },
      out: { type: 'string', default: 'bench/results' },
    },
  });
  const { quick, only } = values;
  if (only !== undefined && only !== 'hop' && only !== 'pair') {
    throw new Error(`--only is hop or pair, not ${only}`);
  }
  return {
    seconds: Number(values.seconds ?? (quick ? 2 : 3)),
    rounds: Number(values.rounds ?? (quick ? 1 : 3)),
    connections: (values.connections ?? (quick ? '64' : '1,64,256')).split(',').map(Number),
    only,
    fromSource: values.source,
    out: values.out,
  };
}

function find(program: string): string | undefined {
  try {
    return execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
