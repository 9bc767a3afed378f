/* kit/kit.h - the conformance kit: numbered cases that anybody may run over the wire against any broker or
 * authorization server (RFC 9431, RFC 9200), as a well-behaved and as a hostile peer.
 * A case ends with one verdict and one line of what was seen. Case ids are stable: "B-101" for brokers, "A-105" for
 * authorization servers; the hundreds are themes. Nothing here looks inside the target: only its bytes count.
 * Blocking; one thread, and a second one while the kit plays the broker's authorization server (kit_settings.as_port).
 * Ownership: kit_run() owns all it makes; texts in kit_settings and struct kit_result are lent. */
#ifndef SYMBOLON_KIT_KIT_H
#define SYMBOLON_KIT_KIT_H

#include "base/status.h"
#include "codec/json.h"

enum kit_verdict { KIT_PASS, KIT_FAIL, KIT_NOT_APPLICABLE, KIT_ERROR, KIT_VERDICTS };

enum kit_subject { KIT_BROKER, KIT_AS };

struct kit_settings {
    enum kit_subject subject;

    /* The broker. */
    const char *host; /* name or address; with KIT_AS unused */
    uint16_t port;
    const char *ca_file; /* whom to trust for its certificate; NULL: the system's */
    bool insecure;       /* any certificate */
    const char
        *issuer_key;      /* file: private JWK the broker trusts as `issuer`'s; NULL: the kit makes no tokens */
    const char *issuer;   /* iss */
    const char *audience; /* aud */
    const char *shared_key;   /* file: oct JWK under which `issuer` encrypts to this broker, or NULL */
    const char *other_key;    /* file: private JWK of a second issuer the broker trusts, or NULL */
    const char *other_issuer; /* its iss */
    const char *root;         /* topics used lie under this; NULL: "kit" */
    const char *public_topic; /* a topic that nobody needs a token for, or NULL */
    uint16_t as_port;         /* not 0: play `issuer`'s introspection endpoint here */
    const char *as_cert, *as_key_file;
    int64_t
        auth_timeout_ms; /* how long the broker waits for the answer to a challenge; 0: not known, not tried */
    int64_t skew_s;      /* difference of clocks the broker tolerates */
    bool draft06;        /* where draft-06 and RFC 9431 differ, accept the draft's behaviour */

    /* The authorization server. */
    const char *as_url; /* its issuer; token endpoint from its metadata, else URL/token */
    const char *as_ca;  /* NULL: ca_file */
    const char *client_id, *client_secret;
    const char *rs_id, *rs_secret; /* who may introspect: a resource server named by `audience` */

    /* The run. */
    const char *const *only; /* ids or themes; none: all */
    size_t only_count;
    const char *const *skip;
    size_t skip_count;
    bool has_seed;
    uint64_t seed;           /* keys, nonces and identifiers follow from it */
    const char *keylog_file; /* TLS secrets of the kit's connections, for Wireshark */
    const char *capture_file;
    int64_t wait_ms; /* the longest the kit waits for any one answer; 0: 5000 */
};

struct kit_result {
    const char *id, *theme, *clauses, *title;
    bool hostile;
    enum kit_verdict verdict;
    const char *seen;
    int64_t ms;
};

typedef void kit_report_fn(void *ctx, const struct kit_result *result);

/* Every case that `only` and `skip` leave, in order. ST_OK however they ended; else the run could not begin: a file,
 * a key, a theme nobody knows. */
enum status kit_run(const struct kit_settings *settings, kit_report_fn *report, void *ctx,
                    struct why *why) MUST_CHECK;

/* The cases, without running any: verdict and seen are not set. */
void kit_list(enum kit_subject subject, kit_report_fn *report, void *ctx);

const char *kit_verdict_name(enum kit_verdict verdict); /* "PASS", "FAIL", "N/A", "ERROR" */

/* What a broker needs in order to be tested with tokens of the kit's own: keys and certificate files, and settings for
 * symbolon-broker, written into `dir` (made if need be, never overwriting). `text` gets words for any broker. */
struct kit_setup {
    const char *dir;
    const char *issuer, *audience;
    uint16_t as_port; /* 0: no introspection endpoint is played */
};
enum status kit_setup(const struct kit_setup *setup, struct buf *text, struct why *why) MUST_CHECK;

#endif
