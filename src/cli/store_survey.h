/* cli/store_survey.h - a look through all records of a broker's store (record/record.h), intact or not, for `symbolon broker
 * store`. Two walks: first who is there, then what belongs to them. Nothing is changed. */
#ifndef SYMBOLON_CLI_STORE_SURVEY_H
#define SYMBOLON_CLI_STORE_SURVEY_H

#include "record/record.h"
#include "store/kv.h"

/* Where the records come from. */
struct store_source {
    struct kv *kv;    /* NULL: it could not be opened, and its pages are read without LMDB */
    const char *path; /* of the store's folder */
};
/* As kv_scan(); of a damaged store, whatever can be reached. */
enum status store_walk(const struct store_source *from, struct span prefix, kv_visit_fn *visit, void *ctx,
                       struct why *why) MUST_CHECK;

/* clang-format off */
#define STORE_KINDS(X)                                \
    X( META,         'v', "meta"            )         \
    X( SESSION,      's', "sessions"        )         \
    X( WILL,         'w', "wills"           )         \
    X( RECEIVED,     'i', "received_ids"    )         \
    X( SUBSCRIPTION, 'b', "subscriptions"   )         \
    X( DELIVERY,     'q', "queued"          )         \
    X( MESSAGE,      'm', "messages"        )         \
    X( RETAINED,     'r', "retained"        )         \
    X( GROUP,        'g', "groups"          )         \
    X( ITEM,         'x', "waiting_in_groups" )       \
    X( OUT,          'o', "between_workers" )         \
    X( TOKEN,        't', "tokens"          )         \
    X( ASIDE,        'z', "set_aside"       )
/* clang-format on */

enum store_kind {
#define STORE_ENUM(name, letter, text) STORE_##name,
    STORE_KINDS(STORE_ENUM)
#undef STORE_ENUM
        STORE_UNKNOWN, /* of no letter we know */
    STORE_KIND_COUNT
};
const char *store_kind_name(enum store_kind kind);
enum store_kind store_kind_of(struct span key);

struct store_session {
    uint64_t number;
    char *client_id; /* heap */
    uint64_t queued, queued_bytes, subscriptions;
};

struct store_body {
    uint64_t number;
    size_t bytes;
    uint64_t uses;
};

struct store_survey {
    uint64_t count[STORE_KIND_COUNT], bytes[STORE_KIND_COUNT], unreadable[STORE_KIND_COUNT];
    uint64_t orphans; /* of sessions, messages or groups that are not there; the next start removes them */
    uint64_t expired; /* retained messages whose time has passed */
    struct record_meta meta;
    bool has_meta;
    struct why first; /* of the unreadable; clause NULL: none */
    char first_key[2 * KV_KEY_MAX + 1];
    struct store_session *sessions; /* in the order of their numbers */
    size_t session_count, session_cap;
    struct store_body *bodies;
    size_t body_count, body_cap;
    struct store_body *groups; /* the same: number and uses */
    size_t group_count, group_cap;
};

/* ST_NO_MEMORY, or what the disk says. store_survey_done() in any case. */
enum status store_survey(struct store_survey *s, const struct store_source *from, struct wall_time now,
                         struct why *why) MUST_CHECK;
void store_survey_done(struct store_survey *s);

const struct store_session *store_session_find(const struct store_survey *s, uint64_t number); /* NULL */

#endif
