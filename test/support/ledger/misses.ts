/** Ways to get no right answer that a ledger tells apart; every other error is a connection that broke. */

/** Not done, and the answer says why: a status of 500 or more with its text, or a gRPC status. */
export class Refused extends Error {}

/** The peer closed a connection that would have gone on for ever. */
export class Ended extends Error {}
