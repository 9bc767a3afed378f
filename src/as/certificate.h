/* as/certificate.h - `symbolon-as certificate DIR OUT`: a server certificate for a broker, by the authority that
 * `init` made in DIR. So that a first installation needs no other tool; a PKI of one's own does as well. */
#ifndef SYMBOLON_AS_CERTIFICATE_H
#define SYMBOLON_AS_CERTIFICATE_H

/* argv[0] is "certificate". Returns the exit status. */
int as_certificate(int argc, char **argv);

#endif
