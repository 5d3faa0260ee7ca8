/** What the pilot answers to a signing request. */
export interface IssuedCertificate {
  /** PEM: leaf first, then intermediates. */
  readonly certificateChain: string;
  /** PEM: the roots of the trust domain. */
  readonly trustBundle: string;
  /** Milliseconds since 1970, by the authority's clock. */
  readonly issuedMs: number;
  /** Milliseconds since 1970; from then on the certificate is worth nothing. */
  readonly notAfterMs: number;
}
