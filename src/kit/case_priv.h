/* kit/case_priv.h - what a case is made of. A case is straight-line code: it opens peers, sends, and says what it
 * expects. The first expectation that fails decides the verdict; after it every call does nothing and answers NULL or
 * false, as a reader does after its first short read. Without any complaint the verdict is PASS.
 * Peers, texts and tokens belong to the case and go with it. */
#ifndef SYMBOLON_KIT_CASE_PRIV_H
#define SYMBOLON_KIT_CASE_PRIV_H

#include "base/arena.h"
#include "base/buf.h"
#include "crypto/key.h"
#include "kit/kit.h"
#include "net/tls.h"

struct kit;

enum kit_need {
    NEED_TOKEN = 1,          /* any token the broker takes, with all rights under `root` */
    NEED_MINT = 2,           /* tokens of the kit's own making */
    NEED_SHARED = 4,         /* ... encrypted for the broker */
    NEED_PUBLIC = 8,         /* a topic that needs no token */
    NEED_PLAY_AS = 16,       /* the broker introspects at the kit */
    NEED_OTHER = 32,         /* a second issuer */
    NEED_AS = 64,            /* an authorization server to talk to */
    NEED_CLIENT = 128,       /* ... with a registered client */
    NEED_RS = 256,           /* ... and somebody who may introspect */
    NEED_AUTHZ_INFO = 512,   /* probed: the broker takes tokens there */
    NEED_V311 = 1024,        /* probed: the broker speaks MQTT 3.1.1 */
    NEED_CWT = 4096,         /* probed: the broker takes tokens in CBOR */
    NEED_AUTH_TIMEOUT = 2048 /* known: kit_settings.auth_timeout_ms */
};

enum kit_manner { POLITE, RUDE };

struct kit_case {
    const char *id;
    const char *clauses; /* of our digests and, first, the section of the RFC */
    const char *title;   /* the rule as a sentence */
    unsigned needs;
    enum kit_manner manner;
    void (*run)(struct kit *k);
};

struct kit_theme {
    const char *name;
    enum kit_subject subject;
    const struct kit_case *cases;
    size_t count;
};

/* One per file; kit.c lists them. */
extern const struct kit_theme theme_connect, theme_exporter, theme_challenge, theme_reauth, theme_tokens,
    theme_cwt, theme_scope, theme_filters, theme_will, theme_session, theme_expiry, theme_introspection,
    theme_authz_info, theme_tls_known, theme_v311, theme_as_token, theme_as_introspect, theme_as_cbor,
    theme_as_metadata;

#define AS_KEYS_MAX 32

enum pop_kind { POP_ED25519, POP_P256, POP_SECRET, POP_KINDS };

struct play_as;
struct capture;
struct peer;

struct kit {
    const struct kit_settings *s;
    int64_t wait_ms;
    struct key *issuer_key, *other_key, *shared_key;
    struct span issuer_kid, other_kid, shared_kid;
    struct js *issuer_js, *other_js, *shared_js; /* the kids live in them */
    struct key *pop[POP_KINDS], *stranger[POP_KINDS];
    struct key *as_keys[AS_KEYS_MAX]; /* what came with tokens of the authorization server in this case */
    size_t as_key_count;
    struct tls_config *tls, *tls12;
    struct play_as *play_as;
    struct capture *capture;
    struct peer *witness; /* stays connected through all rude cases */
    enum { WITNESS_OWN, WITNESS_PUBLIC } witness_topic;
    bool no_witness;
    unsigned serial;                          /* of packet and client identifiers, and of what the seed gives */
    int authz_info, v311, cwt, raw_keys, psk; /* 0 not probed yet, 1 yes, -1 no */

    /* The current case. */
    const struct kit_case *current;
    struct arena arena;
    struct peer *peers; /* list */
    bool decided;
    enum kit_verdict verdict;
    struct buf seen;
};

/* Verdicts; the first one counts. */
void fail(struct kit *k, const char *fmt, ...) PRINTF_LIKE(2, 3);
void trouble(struct kit *k, const char *fmt, ...)
    PRINTF_LIKE(2, 3); /* ERROR: not the target's fault, or unclear */
void not_applicable(struct kit *k, const char *fmt, ...) PRINTF_LIKE(2, 3);
void saw(struct kit *k, const char *fmt, ...) PRINTF_LIKE(2, 3); /* added to the line of what was seen */
bool going(const struct kit *k);
/* False, after fail(), unless `ok`. */
bool check(struct kit *k, bool ok, const char *otherwise);

/* Ends what belongs to the case: peers, keys, texts; the next one may begin. */
void case_drop(struct kit *k);

/* Texts and bytes of the case. Never NULL: out of memory ends the run of the case and gives "". */
const char *text(struct kit *k, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct span bytes(struct kit *k, struct buf *b); /* takes the buffer's content */
struct span repeated(struct kit *k, const char *piece, size_t times);
struct span fill_random(struct kit *k, size_t len);
int64_t wall_s(void);
int64_t mono_ms(void);
const char *under_root(struct kit *k, const char *rest); /* "kit/" rest */
const char *new_client_id(struct kit *k);

/* witness.c */
void witness_ready(struct kit *k);
void witness_check(struct kit *k);
/* probe.c: asked once, remembered */
bool speaks_311(struct kit *k);
bool takes_authz_info(struct kit *k);
bool takes_cwt(struct kit *k); /* theme_cwt.c */

#endif
