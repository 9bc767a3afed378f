/* token/cwt_priv.h - what issuing and reading a CWT have in common (RFC 8392 3.1, tokens.md section 2). */
#ifndef SYMBOLON_TOKEN_CWT_PRIV_H
#define SYMBOLON_TOKEN_CWT_PRIV_H

#define CWT_TAG 61

enum cwt_claim {
    CWT_ISS = 1,
    CWT_SUB,
    CWT_AUD,
    CWT_EXP,
    CWT_NBF,
    CWT_IAT,
    CWT_CTI,
    CWT_CNF,
    CWT_SCOPE,
    CWT_ACE_PROFILE = 38,
    CWT_CNONCE,
    CWT_EXI,
};

/* Confirmation methods (tokens.md section 1); x5t under its header label (RFC 9360), as it has no number of its own. */
enum cwt_cnf { CNF_COSE_KEY = 1, CNF_ENCRYPTED_COSE_KEY, CNF_KID, CNF_X5T = 34 };

#define COSE_SHA256 (-16) /* RFC 9054 */

#endif
