/** h2spec's cases against every door of a sidecar through which HTTP/2 comes in. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { serverNameOf } from '../../sidecar/net/tls-names.ts';
import { suiteScope } from '../support/cleanup.ts';
import { interopTool } from '../support/interop/tools.ts';
import { runProcess } from '../support/processes.ts';
import { type StaticPair, service, startStaticPair } from '../support/static-pair.ts';
import { tempFolder } from '../support/temp-folder.ts';
import { listen } from '../support/tls-bench.ts';
import { startTlsRelay } from '../support/tls-relay.ts';

const tool = interopTool('h2spec');
const cases = 145;
const servedPort = 8080;

describe('h2spec', { skip: tool.skip }, () => {
  const scope = suiteScope();
  let pair: StaticPair;

  before(async () => {
    const app = createServer((request, response) => {
      request.resume();
      request.on('end', () => response.end('hello'));
    });
    const appPort = await listen(scope, app);
    pair = await startStaticPair(scope, {
      ports: [{ port: servedPort, appPort, protocol: 'http', mtls: 'permissive' }],
    });
  });

  const doors: readonly (readonly [string, () => number | Promise<number>])[] = [
    ['the localhost port that stands for a service', () => pair.localPort(servedPort)],
    ['the plaintext port of a workload', () => pair.plainPort(servedPort)],
    [
      'the link port, through a relay with a client certificate',
      async () => {
        const identity = await pair.mesh.bundle('web');
        return startTlsRelay(scope, {
          port: pair.linkPort,
          serverName: serverNameOf(service, servedPort),
          trustBundle: identity.trustBundle,
          protocol: 'h2',
          identity,
        });
      },
    ],
  ];
  for (const [name, portOf] of doors) {
    it(`passes all ${cases} cases at ${name}`, async (t) => {
      const report = join(tempFolder(t), 'report.xml');
      const port = await portOf();
      const options = ['-h', '127.0.0.1', '-p', `${port}`, '-o', '5', '-j', report];
      const { code, stdout } = await runProcess(t, {
        command: tool.command,
        args: [...tool.args, ...options],
        withinMs: 300_000,
      });
      assert.match(stdout, new RegExp(`${cases} tests, ${cases} passed, 0 skipped, 0 failed`));
      assert.equal(code, 0);
      // The report is the tool's second word on it.
      const suites = readFileSync(report, 'utf8').matchAll(
        /<testsuite [^>]*failures="(\d+)" errors="(\d+)"/g,
      );
      const counts = [...suites].map(([, failures, errors]) => [failures, errors]);
      assert.ok(counts.length > 0);
      for (const count of counts) assert.deepEqual(count, ['0', '0']);
    });
  }
});
