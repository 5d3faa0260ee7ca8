/** Settings of the shop's services: plain environment variables, as any service has them. */

/** The variable's value; ends the program with one line where it is not set. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value !== undefined && value !== '') return value;
  process.stderr.write(`set ${name}\n`);
  process.exit(2);
}

export function portSetting(name: string): number {
  const port = Number(setting(name));
  if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
  process.stderr.write(`${name} is not a port: ${process.env[name]}\n`);
  process.exit(2);
}
