/**
 * Gets the independent servers and clients of `npm run test:interop` from the package registries, each by its
 * own client, into a folder outside the clone; what is there is not fetched again. What cannot be had is told
 * loudly and written down, so that its suite is skipped with the reason and never counts as passed.
 *
 *   node deploy/setup/interop.mjs        HEDDLE_INTEROP_DIR, by default ~/.cache/heddle-interop
 *
 * The result is `tools.json` in that folder: for each tool `{ "command": […] }` or `{ "problem": "why" }`.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const folder = process.env.HEDDLE_INTEROP_DIR || join(homedir(), '.cache', 'heddle-interop');
const heartbeatMs = 5_000;
const installMs = 10 * 60_000;

const h2specModule = 'github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible';
const pythonPackages = ['grpcio==1.85.1', 'websockets==15.0.1'];
const autobahnPackage = 'autobahntestsuite==0.8.2';
const grpcJava = { group: 'io.grpc', artifact: 'grpc-interop-testing', version: '1.79.0' };

/** Why a tool cannot be had. */
class Unavailable extends Error {}

const sources = {
  h2spec: obtainH2spec,
  python: obtainPython,
  grpcJava: obtainGrpcJava,
  autobahn: obtainAutobahn,
};

mkdirSync(folder, { recursive: true });
const tools = {};
for (const [name, obtain] of Object.entries(sources)) {
  try {
    tools[name] = { command: await obtain() };
    say(`${name}: there`);
  } catch (problem) {
    if (!(problem instanceof Unavailable)) throw problem;
    tools[name] = { problem: problem.message };
    say(`${name}: NOT AVAILABLE, its suite will be SKIPPED: ${problem.message}`);
  }
}
writeFileSync(join(folder, 'tools.json'), `${JSON.stringify(tools, null, 2)}\n`);

async function obtainH2spec() {
  const program = join(folder, 'bin', 'h2spec');
  if (!existsSync(program)) {
    requireProgram('go', ['version']);
    await run('go', ['install', h2specModule], { GOBIN: join(folder, 'bin') });
  }
  return [program];
}

async function obtainPython() {
  const venv = join(folder, 'venv');
  const program = join(venv, 'bin', 'python');
  const wanted = pythonPackages.join('\n');
  const note = join(venv, 'heddle-packages.txt');
  if (!existsSync(note) || readFileSync(note, 'utf8') !== wanted) {
    requireProgram('python3', ['--version']);
    await run('python3', ['-m', 'venv', venv]);
    await run(program, ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', ...pythonPackages]);
    writeFileSync(note, wanted);
  }
  return [program];
}

async function obtainGrpcJava() {
  const project = join(folder, 'java');
  const pathFile = join(project, 'classpath.txt');
  requireProgram('java', ['-version']);
  if (!existsSync(pathFile)) {
    requireProgram('mvn', ['--version']);
    mkdirSync(project, { recursive: true });
    writeFileSync(join(project, 'pom.xml'), pomOf(grpcJava));
    const goal = ['dependency:build-classpath', `-Dmdep.outputFile=${pathFile}`];
    await run('mvn', ['-q', '-B', '-f', join(project, 'pom.xml'), ...goal]);
  }
  return ['java', '-Xmx256m', '-cp', readFileSync(pathFile, 'utf8').trim()];
}

/** The suite never came to Python 3. */
async function obtainAutobahn() {
  const python = findPython27();
  if (python === undefined) {
    throw new Unavailable('no Python 2.7 here (on PATH, under ~/.pyenv, or named by HEDDLE_PYTHON27)');
  }
  const prefix = join(folder, 'py27');
  const packages = join(prefix, 'lib', 'python2.7', 'site-packages');
  if (!existsSync(join(packages, 'autobahntestsuite'))) {
    const install = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--ignore-installed'];
    await run(python, [...install, '--prefix', prefix, autobahnPackage]);
  }
  // The packages of a prefix need their .pth files read, which only `site` does. Then it runs the program named.
  const start = [
    'import runpy, site, sys',
    `site.addsitedir(${JSON.stringify(packages)})`,
    'sys.argv = sys.argv[1:]',
    "runpy.run_path(sys.argv[0], run_name='__main__')",
  ];
  return [python, '-c', start.join('\n')];
}

function findPython27() {
  const pyenv = join(homedir(), '.pyenv', 'versions');
  const versions = existsSync(pyenv) ? readdirSync(pyenv).filter((name) => name.startsWith('2.7.')) : [];
  const candidates = [
    process.env.HEDDLE_PYTHON27,
    'python2.7',
    ...versions.map((name) => join(pyenv, name, 'bin', 'python2.7')),
  ];
  return candidates.find((program) => program && spawnSync(program, ['-c', '1']).status === 0);
}

function requireProgram(program, args) {
  if (spawnSync(program, args).status !== 0) throw new Unavailable(`${program} is not installed`);
}

function pomOf({ group, artifact, version }) {
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>heddle</groupId><artifactId>interop</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version>
  </dependency></dependencies>
</project>
`;
}

/** Runs an installation; its output is shown only where it fails. */
function run(command, args, env = {}) {
  const startedMs = Date.now();
  say(`${command} ${args.join(' ')}`);
  const heartbeat = setInterval(() => {
    say(`… still at it after ${Math.round((Date.now() - startedMs) / 1000)} s`);
  }, heartbeatMs);
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: installMs,
    });
    let output = '';
    const keep = (text) => {
      output = `${output}${text}`.slice(-2_000);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.once('error', (cause) => {
      clearInterval(heartbeat);
      reject(new Unavailable(`cannot run ${command}: ${cause.message}`));
    });
    child.once('close', (code) => {
      clearInterval(heartbeat);
      if (code === 0) resolve();
      else reject(new Unavailable(`${command} failed (exit ${code}): ${output.trim()}`));
    });
  });
}

/** To stderr: stdout belongs to the tests that come after. */
function say(text) {
  process.stderr.write(`heddle interop: ${text}\n`);
}
