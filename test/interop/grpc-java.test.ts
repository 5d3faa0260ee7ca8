/**
 * grpc-java's own interop cases: each that its client passes straight at its server must pass through a pair of
 * sidecars between them. The server of one release and the client of the same do not pass all of them.
 */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { type Scope, suiteScope } from '../support/cleanup.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { interopTool } from '../support/interop/tools.ts';
import { accepts } from '../support/interop/waiting.ts';
import { runProcess, startProcess } from '../support/processes.ts';
import { startStaticPair } from '../support/static-pair.ts';

const tool = interopTool('grpcJava');
const servedPort = 9090;
const caseMs = 60_000;
/** At least so many pass without us, or the peer itself is broken and the run shows nothing. */
const leastDirect = 16;
const cases = [
  'empty_unary',
  'cacheable_unary',
  'large_unary',
  'client_compressed_unary',
  'server_compressed_unary',
  'client_streaming',
  'client_compressed_streaming',
  'server_streaming',
  'server_compressed_streaming',
  'ping_pong',
  'empty_stream',
  'custom_metadata',
  'status_code_and_message',
  'special_status_message',
  'unimplemented_method',
  'unimplemented_service',
  'cancel_after_begin',
  'cancel_after_first_response',
  'timeout_on_sleeping_server',
  'very_large_request',
];

describe('grpc-java interop', { skip: tool.skip }, () => {
  const scope = suiteScope();
  let serverPort = 0;
  let pairPort = 0;
  let direct = 0;

  before(async () => {
    serverPort = await freePort();
    const server = ['io.grpc.testing.integration.TestServiceServer', `--port=${serverPort}`];
    await startProcess(scope, {
      command: tool.command,
      args: [...tool.args, ...server, '--use_tls=false', '--address_type=IPV4'],
    });
    await eventually(() => accepts(serverPort), { what: 'the Java server', withinMs: caseMs, everyMs: 200 });
    const pair = await startStaticPair(scope, {
      ports: [{ port: servedPort, appPort: serverPort, protocol: 'grpc' }],
    });
    pairPort = pair.localPort(servedPort);
  });

  for (const name of cases) {
    it(`${name}: through a pair as without it`, async (t) => {
      const without = await runCase(t, name, serverPort);
      if (without.code !== 0) {
        t.skip(`fails without us too`);
        return;
      }
      direct++;
      const through = await runCase(t, name, pairPort);
      assert.equal(through.code, 0, through.output);
    });
  }

  it('has a peer that passes most cases by itself', () => {
    assert.ok(direct >= leastDirect, `${direct} of ${cases.length}`);
  });
});

async function runCase(
  t: Scope,
  name: string,
  port: number,
): Promise<{ code: number | null; output: string }> {
  const client = [
    'io.grpc.testing.integration.TestServiceClient',
    '--server_host=127.0.0.1',
    `--server_port=${port}`,
    '--use_tls=false',
    `--test_case=${name}`,
  ];
  const { code, stdout, stderr } = await runProcess(t, {
    command: tool.command,
    args: [...tool.args, ...client],
    withinMs: caseMs,
  });
  return { code, output: `${stdout}${stderr}`.slice(-3_000) };
}
