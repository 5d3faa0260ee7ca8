/** Python's gRPC (the C core) and WebSocket libraries as both ends, with a pair of sidecars between them. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AppProtocol } from '../../mesh/model.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import { interopTool } from '../support/interop/tools.ts';
import { accepts } from '../support/interop/waiting.ts';
import { runProcess, startProcess } from '../support/processes.ts';
import { startStaticPair } from '../support/static-pair.ts';

const tool = interopTool('python');
const programs = join(import.meta.dirname, 'programs');
const servedPort = 8080;

describe('Python peers', { skip: tool.skip }, () => {
  it('gRPC of all kinds, with statuses, trailers and deadlines', async (t) => {
    const port = await startBehindPair(t, 'grpc', (appPort) => ['grpc_peer.py', 'server', `${appPort}`]);
    await runClient(t, ['grpc_peer.py', 'client', `127.0.0.1:${port}`]);
  });

  it('WebSocket: text, binary, fragments, ping, megabytes both ways at once, close', async (t) => {
    const port = await startBehindPair(t, 'http', (appPort) => ['websocket_echo.py', `${appPort}`]);
    await runClient(t, ['websocket_client.py', `ws://127.0.0.1:${port}/chat?a=b`]);
  });
});

/** The caller's localhost port for a program behind a pair of sidecars. */
async function startBehindPair(
  t: TestContext,
  protocol: AppProtocol,
  argsFor: (appPort: number) => readonly [string, ...string[]],
): Promise<number> {
  const appPort = await freePort();
  const [program, ...args] = argsFor(appPort);
  await startProcess(t, { command: tool.command, args: [...tool.args, join(programs, program), ...args] });
  await eventually(() => accepts(appPort), { what: program, withinMs: 60_000, everyMs: 100 });
  const pair = await startStaticPair(t, { ports: [{ port: servedPort, appPort, protocol }] });
  return pair.localPort(servedPort);
}

async function runClient(t: TestContext, [program, ...args]: readonly [string, ...string[]]): Promise<void> {
  const { code, stdout, stderr } = await runProcess(t, {
    command: tool.command,
    args: [...tool.args, join(programs, program), ...args],
    withinMs: 120_000,
  });
  assert.equal(stdout.trim(), 'fine', stderr.slice(-2_000));
  assert.equal(code, 0);
}
