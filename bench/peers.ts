/**
 * Heddle beside nginx, HAProxy and Envoy, as one plaintext hop and as an mTLS pair, in one run on this machine:
 * CPU time per request, latency, memory, and what a large configuration costs. Prints the budgets' verdicts and exits with 1 when one is missed.
 *
 *   node bench/peers.ts [--quick] [--only hop|pair|own] [--seconds 1] [--rounds 8] [--connections 1,64,256]
 *                       [--source] [--out bench/results]
 *
 * Envoy takes part where the variable ENVOY names its binary or `envoy` is on PATH.
 */
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { judge } from './lab/budgets.ts';
import { type Backend, type Contender, contenders, type Running, startBackend } from './lab/contenders.ts';
import { type Lab, openLab } from './lab/lab.ts';
import { type Load, loads } from './lab/load.ts';
import { firstWarmUpSeconds, leastDisturbed, type Measurement, measure, runLoad } from './lab/measure.ts';
import { measureMemory, measureScale } from './lab/own.ts';
import { machine, tableOf, verdictTable, versionOf, writeReport } from './lab/report.ts';

interface Plan {
  readonly seconds: number;
  readonly rounds: number;
  readonly loads: readonly Load[];
  readonly only: string | undefined;
  /** Also what needs no peer: memory and scale. */
  readonly withOwn: boolean;
  readonly fromSource: boolean;
  readonly out: string;
}

const plan = readPlan();
const envoyPath = process.env['ENVOY'] ?? find('envoy');
const lab = openLab();
let missed = true;
process.once('SIGINT', () => void lab.close().finally(() => process.exit(130)));
try {
  const backend = await startBackend(lab);
  // Memory first, while the machine has nothing else to do.
  const memory = plan.withOwn ? await measureMemory(lab, backend, plan.fromSource) : [];
  const scale = plan.withOwn ? await measureScale(lab, backend, plan) : [];
  const measurements = await measureAll(lab, backend, plan);
  const verdicts = judge(measurements, [...memory, ...scale]);
  print(tableOf(measurements));
  print(verdictTable(verdicts));
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
async function measureAll(lab: Lab, backend: Backend, plan: Plan): Promise<Measurement[]> {
  const { only, fromSource, seconds, rounds } = plan;
  const upstreams = new Set(plan.loads.map(({ upstream }) => upstream));
  const all = contenders({ envoyPath, fromSource }).filter(
    ({ shape, upstream }) => (only === undefined || shape === only) && upstreams.has(upstream),
  );
  const running: { contender: Contender; at: Running }[] = [];
  for (const contender of all) {
    running.push({ contender, at: await contender.start(lab, backend[contender.upstream]) });
  }
  const { folder } = lab;
  const results: Measurement[] = [];
  for (const load of plan.loads) {
    const able = running.filter(({ contender }) => canTake(contender, load));
    const measured = new Map<Contender, Measurement[]>(able.map(({ contender }) => [contender, []]));
    for (const { contender, at } of able) {
      print(`${contender.shape} ${contender.name}, ${load.name}, warm-up`);
      const most = { ...load, connections: Math.max(load.connections, 16) };
      await runLoad(at.port, most, { seconds: firstWarmUpSeconds, folder });
    }
    for (let round = 0; round < rounds; round++) {
      for (const { contender, at } of able) {
        const who = `${contender.shape} ${contender.name}`;
        print(`${who}, ${load.name}, ${load.connections} connections, round ${round + 1}`);
        measured.get(contender)?.push(await measure(contender, at, { load, seconds, folder }));
      }
    }
    for (const each of measured.values()) results.push(leastDisturbed(each));
  }
  return results.sort((a, b) => a.shape.localeCompare(b.shape));
}

/** nginx speaks no HTTP/2 to its upstreams, and its listeners here no HTTP/2 without TLS; HAProxy takes no part. */
function canTake({ name, shape, upstream }: Contender, load: Load): boolean {
  const speaksHttp2 = name === 'heddle' || name === 'envoy';
  return upstream === load.upstream && load.shapes.includes(shape) && (load.streams === 1 || speaksHttp2);
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
  if (only !== undefined && only !== 'hop' && only !== 'pair' && only !== 'own') {
    throw new Error(`--only is hop, pair or own, not ${only}`);
  }
  return {
    seconds: Number(values.seconds ?? (quick ? 2 : 1)),
    rounds: Number(values.rounds ?? (quick ? 1 : 8)),
    loads: loads((values.connections ?? (quick ? '64' : '1,64,256')).split(',').map(Number), !quick),
    only,
    withOwn: !quick && (only === undefined || only === 'own'),
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
