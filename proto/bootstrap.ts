/** `Bootstrap` and `IdentityBundle` to and from their messages. */
import { create } from '@bufbuild/protobuf';
import type {
  AdminAddress,
  AppPort,
  Bootstrap,
  IdentityBundle,
  ListenAddress,
  LocalPort,
  Transparent,
} from '../mesh/bootstrap.ts';
import { type LimitSettings, limitProblem } from '../mesh/limits.ts';
import { each, filled, portFrom, portOrZero, type Report, words } from './check.ts';
import * as wire from './gen/heddle/v1/sidecar_pb.ts';
import { refFromWire } from './settings.ts';

const outboundPolicies = words({
  allow_any: wire.OutboundPolicy.ALLOW_ANY,
  registry_only: wire.OutboundPolicy.REGISTRY_ONLY,
});

export function bootstrapToWire(bootstrap: Bootstrap): wire.Bootstrap {
  const { link, admin, accessLogFile, transparent, limits } = bootstrap;
  return create(wire.BootstrapSchema, {
    instance: bootstrap.instance,
    ...(link === undefined ? {} : { link: listenToWire(link) }),
    outbound: listenToWire(bootstrap.outbound),
    localPorts: bootstrap.localPorts.map(({ service, port, localPort }) => ({
      service: { ...service },
      port,
      localPort,
    })),
    apps: bootstrap.apps.map(appToWire),
    admin:
      'socket' in admin
        ? { case: 'adminSocket', value: admin.socket }
        : { case: 'adminPort', value: admin.port },
    ...(accessLogFile === undefined ? {} : { accessLogFile }),
    allowShortLifetimes: bootstrap.allowShortLifetimes,
    ...(transparent === undefined ? {} : { transparent: transparentToWire(transparent) }),
    ...(limits === undefined ? {} : { limits: { ...limits } }),
  });
}

export function bootstrapFromWire(
  message: wire.Bootstrap | undefined,
  path: string,
  report: Report,
): Bootstrap {
  if (message === undefined) {
    report({ path, message: 'missing' });
    return bootstrapFromWire(create(wire.BootstrapSchema), path, () => {});
  }
  const { link, transparent } = message;
  return {
    instance: filled(message.instance, `${path}.instance`, report),
    link: link === undefined ? undefined : listenFromWire(link, `${path}.link`, report),
    outbound: listenFromWire(message.outbound, `${path}.outbound`, report),
    localPorts: each(message.localPorts, `${path}.localPorts`, report, localPortFromWire),
    apps: each(message.apps, `${path}.apps`, report, appFromWire),
    admin: adminFromWire(message.admin, `${path}.admin`, report),
    accessLogFile: message.accessLogFile,
    allowShortLifetimes: message.allowShortLifetimes,
    ...(transparent === undefined
      ? {}
      : { transparent: transparentFromWire(transparent, `${path}.transparent`, report) }),
    ...limitsFromWire(message.limits, `${path}.limits`, report),
  };
}

export function identityToWire(identity: IdentityBundle): wire.IdentityBundle {
  return create(wire.IdentityBundleSchema, { ...identity });
}

export function identityFromWire(message: wire.IdentityBundle, path: string, report: Report): IdentityBundle {
  return {
    privateKey: filled(message.privateKey, `${path}.privateKey`, report),
    certificateChain: filled(message.certificateChain, `${path}.certificateChain`, report),
    trustBundle: filled(message.trustBundle, `${path}.trustBundle`, report),
  };
}

function listenToWire(address: ListenAddress): wire.ListenAddress {
  return create(wire.ListenAddressSchema, { hosts: [...address.hosts], port: address.port });
}

function listenFromWire(
  message: wire.ListenAddress | undefined,
  path: string,
  report: Report,
): ListenAddress {
  if (message === undefined || message.hosts.length === 0) {
    report({ path: `${path}.hosts`, message: 'missing' });
  }
  return {
    hosts: message?.hosts ?? [],
    port: portOrZero(message?.port ?? 0, `${path}.port`, report),
  };
}

function localPortFromWire(message: wire.LocalPort, path: string, report: Report): LocalPort {
  return {
    service: refFromWire(message.service, `${path}.service`, report),
    port: portFrom(message.port, `${path}.port`, report),
    localPort: portOrZero(message.localPort, `${path}.localPort`, report),
  };
}

function appToWire(app: AppPort): wire.AppPort {
  return create(wire.AppPortSchema, {
    port: app.port,
    appHost: app.appHost,
    appPort: app.appPort,
    ...(app.plain === undefined ? {} : { plain: listenToWire(app.plain) }),
  });
}

function appFromWire(message: wire.AppPort, path: string, report: Report): AppPort {
  const { plain } = message;
  return {
    port: portFrom(message.port, `${path}.port`, report),
    appHost: filled(message.appHost, `${path}.appHost`, report),
    appPort: portFrom(message.appPort, `${path}.appPort`, report),
    plain: plain === undefined ? undefined : listenFromWire(plain, `${path}.plain`, report),
  };
}

function transparentToWire(transparent: Transparent): wire.Transparent {
  const { outboundPort, inboundPort, outboundPolicy } = transparent;
  return create(wire.TransparentSchema, {
    outboundPort,
    inboundPort,
    outboundPolicy: outboundPolicies.toWire(outboundPolicy),
  });
}

/** Rules elsewhere name these ports, so that none of them can be left to the system. */
function transparentFromWire(message: wire.Transparent, path: string, report: Report): Transparent {
  const { outboundPolicy } = message;
  if (message.inboundPort === message.outboundPort) {
    report({ path: `${path}.inboundPort`, message: 'is the outbound port too' });
  }
  return {
    outboundPort: portFrom(message.outboundPort, `${path}.outboundPort`, report),
    inboundPort: portFrom(message.inboundPort, `${path}.inboundPort`, report),
    outboundPolicy:
      outboundPolicy === wire.OutboundPolicy.UNSPECIFIED
        ? 'allow_any'
        : outboundPolicies.fromWire(outboundPolicy, `${path}.outboundPolicy`, report),
  };
}

function adminFromWire(admin: wire.Bootstrap['admin'], path: string, report: Report): AdminAddress {
  switch (admin.case) {
    case 'adminSocket':
      return { socket: filled(admin.value, `${path}Socket`, report) };
    case 'adminPort':
      return { port: portOrZero(admin.value, `${path}Port`, report) };
    case undefined:
      report({ path, message: 'name adminSocket or adminPort' });
      return { port: 0 };
  }
}

/** The field as it stands in its value: absent where no limit is set. */
export function limitsFromWire(
  message: Readonly<Record<string, number>>,
  path: string,
  report: Report,
): { readonly limits?: LimitSettings } {
  const entries = Object.entries(message);
  if (entries.length === 0) return {};
  for (const [name, value] of entries) {
    const problem = limitProblem(name, value);
    if (problem !== undefined) report({ path: `${path}.${name}`, message: problem });
  }
  return { limits: Object.fromEntries(entries) };
}
