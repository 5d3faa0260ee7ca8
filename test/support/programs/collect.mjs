/** Loaded before a program by `--import`: on SIGUSR2 it gives back what memory it can, for tests that measure what it needs. */
import { releaseMemory } from '../../../sidecar/memory.ts';

process.on('SIGUSR2', releaseMemory);
