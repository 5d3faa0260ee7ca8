/** Loaded before a program by `--import` with `--expose-gc`: on SIGUSR2 it collects its garbage, for tests that measure memory. */
process.on('SIGUSR2', () => globalThis.gc());
