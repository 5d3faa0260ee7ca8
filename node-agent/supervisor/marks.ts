/**
 * The names in a supervised process' environment by which a later agent recognises it, should the
 * agent's own notes be lost.
 */
export const mark = {
  /** The agent's state folder: which agent of this host it belongs to. */
  stateDir: 'HEDDLE_STATE_DIR',
  instance: 'HEDDLE_INSTANCE',
  role: 'HEDDLE_ROLE',
  /** `PlannedProcess.hash` of its start. */
  plan: 'HEDDLE_PLAN',
  /** The instance's ports, as JSON. */
  ports: 'HEDDLE_PORTS',
} as const;
