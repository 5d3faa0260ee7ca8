/**
 * The Autobahn suite's WebSocket cases at Autobahn's own echo server, straight and through a pair of sidecars: no
 * case may end worse through the pair than without it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, it, type TestContext } from 'node:test';
import { suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { freePorts } from '../support/free-port.ts';
import { interopTool } from '../support/interop/tools.ts';
import { accepts } from '../support/interop/waiting.ts';
import { startProcess } from '../support/processes.ts';
import { startStaticPair } from '../support/static-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';

const tool = interopTool('autobahn');
const programs = join(import.meta.dirname, 'programs');
const servedPort = 8080;
const runMs = 20 * 60_000;
/** All but 9.* and 12.*–13.* (megabytes and thousands of messages each), which take ten minutes; this brings them in. */
const everything = process.env['HEDDLE_INTEROP_FULL'] === '1';
const left = everything ? [] : ['9.*', '12.*', '13.*'];
const leastCases = everything ? 500 : 200;

/** From best to worst. */
const ranks = [
  'OK',
  'INFORMATIONAL',
  'UNIMPLEMENTED',
  'NON-STRICT',
  'WRONG CODE',
  'UNCLEAN',
  'FAILED BY CLIENT',
  'FAILED',
];

interface Verdict {
  readonly behavior: string;
  readonly behaviorClose: string;
}

describe('Autobahn', { skip: tool.skip }, () => {
  const scope = suiteScope();
  let serverPort = 0;
  let pairPort = 0;

  before(async () => {
    const [behindPair = 0, straight = 0] = await freePorts(2);
    const pair = await startStaticPair(scope, {
      ports: [{ port: servedPort, appPort: behindPair, protocol: 'http' }],
    });
    pairPort = pair.localPort(servedPort);
    serverPort = straight;
    await startEcho(straight, straight);
    await startEcho(behindPair, pairPort);
  });

  async function startEcho(port: number, externalPort: number): Promise<void> {
    const args = [...tool.args, join(programs, 'autobahn_echo.py'), `${port}`, `${externalPort}`];
    await startProcess(scope, { command: tool.command, args });
    await eventually(() => accepts(port), { what: 'the echo server', withinMs: 60_000, everyMs: 200 });
  }

  it('no case is worse through a pair of sidecars', async (t) => {
    const direct = await judge(t, serverPort);
    const through = await judge(t, pairPort);
    assert.ok(direct.size >= leastCases, `only ${direct.size} cases ran`);
    const worse = [...direct].flatMap(([name, verdict]) => {
      const other = through.get(name);
      return other !== undefined && !isWorse(other, verdict)
        ? []
        : [{ name, without: verdict, through: other }];
    });
    assert.deepEqual(worse, []);
    t.diagnostic(`${through.size} cases`);
  });
});

/** Runs the cases against one port; the verdict on each by its number. */
async function judge(t: TestContext, port: number): Promise<Map<string, Verdict>> {
  const folder = tempFolder(t);
  const spec = {
    options: { failByDrop: false },
    outdir: folder,
    servers: [{ agent: 'subject', url: `ws://127.0.0.1:${port}`, options: { version: 18 } }],
    cases: ['*'],
    'exclude-cases': left,
    'exclude-agent-cases': {},
  };
  const file = join(folder, 'spec.json');
  writeFileSync(file, JSON.stringify(spec));
  const args = [...tool.args, join(programs, 'autobahn_client.py'), '-m', 'fuzzingclient', '-s', file];
  const client = await startProcess(t, { command: tool.command, args, cwd: folder });
  const progress = setInterval(() => t.diagnostic(client.tail().split('\n').at(-1) ?? ''), 10_000);
  try {
    await eventually(() => client.status, { what: 'the end of the suite', withinMs: runMs, everyMs: 200 });
  } finally {
    clearInterval(progress);
  }
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as Record<
    string,
    Record<string, Verdict>
  >;
  return new Map(Object.entries(index['subject'] ?? {}));
}

function isWorse(a: Verdict, b: Verdict): boolean {
  return (
    ranks.indexOf(a.behavior) > ranks.indexOf(b.behavior) ||
    ranks.indexOf(a.behaviorClose) > ranks.indexOf(b.behaviorClose)
  );
}
