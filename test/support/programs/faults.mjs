/** Loaded before a program by `--import`: on SIGUSR2 it breaks in the way that HEDDLE_TEST_FAULT names. */
process.on('SIGUSR2', () => {
  if (process.env.HEDDLE_TEST_FAULT === 'rejection') void Promise.reject(new Error('injected rejection'));
  else
    setImmediate(() => {
      throw new Error('injected exception');
    });
});
