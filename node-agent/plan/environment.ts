/**
 * What an application finds in its environment: a few names of the agent's own, what its Workload says, and where
 * the mesh is. Nothing else of the agent's environment goes on, for it may hold secrets.
 *
 *   PORT                          where to listen, for the first port
 *   HEDDLE_PORT_<NAME>            where to listen, for each port by its name
 *   HEDDLE_PROXY                  the sidecar: http://127.0.0.1:P, any service by the name in `Host`
 *   HEDDLE_<SERVICE>_ADDR         a called service: 127.0.0.1:P (the first of its declared ports)
 *   HEDDLE_<SERVICE>_<PORT>_ADDR  the same for each declared port
 */
import type { Bootstrap } from '../../mesh/bootstrap.ts';
import type { PlacedWorkload } from '../../mesh/placement.ts';

const passedOn = ['PATH', 'LANG', 'LANGUAGE', 'TZ', 'TMPDIR'];
/** Whose they are changes with the user. */
const ofUser = ['HOME', 'USER', 'LOGNAME', 'SHELL'];

/** The part of the agent's environment that its processes get; where they have a user of their own, that one's follows. */
export function inherited(
  env: Readonly<Record<string, string | undefined>>,
  user: string | undefined,
): Record<string, string> {
  const names = user === undefined ? [...passedOn, ...ofUser] : passedOn;
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && (names.includes(name) || name.startsWith('LC_'))) kept[name] = value;
  }
  return kept;
}

/** Where the application listens and where it finds what it calls. */
export function applicationVariables(workload: PlacedWorkload, bootstrap: Bootstrap): Record<string, string> {
  const [first] = bootstrap.apps;
  const variables: Record<string, string> = {
    HEDDLE_PROXY: proxyUrl(bootstrap),
    ...(first === undefined ? {} : { PORT: String(first.appPort) }),
  };
  for (const { name, port } of workload.ports) {
    const listenOn = String(bootstrap.apps.find((app) => app.port === port)?.appPort ?? port);
    variables[`HEDDLE_PORT_${variableName(name === '' ? String(port) : name)}`] = listenOn;
  }
  for (const { service, port, localPort } of bootstrap.localPorts) {
    const address = `127.0.0.1:${localPort}`;
    const name = variableName(service.name);
    // Two namespaces may have a service of one name: the one declared first has the short names.
    variables[`HEDDLE_${name}_ADDR`] ??= address;
    variables[`HEDDLE_${name}_${port}_ADDR`] ??= address;
  }
  return variables;
}

/** Where an instance's sidecar serves what is beside it. */
export function proxyUrl({ outbound }: Pick<Bootstrap, 'outbound'>): string {
  return `http://127.0.0.1:${outbound.port}`;
}

/** `$(NAME)` in `text` becomes the variable of that name; a name that is not there stays as it is written. */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$\(([A-Za-z_][A-Za-z0-9_]*)\)/g, (whole, name: string) => {
    return Object.hasOwn(variables, name) ? (variables[name] ?? whole) : whole;
  });
}

function variableName(name: string): string {
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_');
}
