/* scope/scope.h - what a token lets its holder do: AIF-MQTT (RFC 9237, RFC 9431 2.3; MT-80 to MT-87).
 * A scope is an immutable set of (topic filter, permissions) entries, shared by reference and compiled so that
 * a publish check is one binary search among plain topics and a walk over the wildcard filters. Ownership:
 * whoever makes one gets a reference; scope_unref(NULL) does nothing. Filters are copied in. Failure:   a
 * status; *ret_scope is written only on ST_OK. What does not follow the grammar is refused as a whole (MT-87):
 * ST_BAD_SCOPE. More than the limits below: ST_TOO_LARGE. Threads:   immutable once made, so readable from any;
 * the count is atomic. */
#ifndef SYMBOLON_SCOPE_SCOPE_H
#define SYMBOLON_SCOPE_SCOPE_H

#include "base/buf.h"
#include "mqtt/topic.h"

#define SCOPE_MAX_PAIRS 256
#define SCOPE_MAX_BYTES 65536 /* of all filters together, and of the JSON text or CBOR */

struct cb;
struct js;
struct scope;

enum scope_permission { SCOPE_PUB = 1, SCOPE_SUB = 2 };

struct scope_entry {
    struct topic_filter filter; /* lent by the scope */
    unsigned permissions;       /* SCOPE_PUB | SCOPE_SUB, at least one */
};

/* The array itself: [["topic1",["pub","sub"]],["+/topic3",["sub"]]] (MT-80). Refused: unknown or repeated
 * permissions, the same filter twice, filters that are no text, not valid, or shared. An empty array is a scope
 * without permissions (MT-83). */
enum status scope_from_json(const struct js *array, struct scope **ret_scope, struct why *why) MUST_CHECK;

/* The same array in CBOR, as it is or wrapped in a byte string (AF-106): what a CWT carries (MT-86). */
enum status scope_from_cbor(const struct cb *value, struct scope **ret_scope, struct why *why) MUST_CHECK;

/* The value of a scope claim or parameter, in any carriage of D-20 that fits into JSON: the array, base64url of
 * its text or of its CBOR form in a string, or the JSON text itself in a string. */
enum status scope_from_claim(const struct js *value, struct scope **ret_scope, struct why *why) MUST_CHECK;
/* The same for text that is not inside JSON (form parameters, command lines): base64url, or JSON text. */
enum status scope_from_text(struct span text, struct scope **ret_scope, struct why *why) MUST_CHECK;

/* From entries in memory; the rules are the same. Zero entries are fine. */
enum status scope_build(const struct scope_entry *entries, size_t count, struct scope **ret_scope,
                        struct why *why) MUST_CHECK;

struct scope *scope_ref(struct scope *scope);
void scope_unref(struct scope *scope);
void scope_unrefp(struct scope **scope);

struct js *scope_to_json(const struct scope *scope); /* the array; NULL when out of memory */
/* Appends base64url of the JSON text without padding, as a JWT carries it (MT-86). */
enum status scope_to_claim(const struct scope *scope, struct buf *out) MUST_CHECK;
/* Appends the array in deterministic CBOR, not wrapped. */
enum status scope_to_cbor(const struct scope *scope, struct buf *out) MUST_CHECK;
/* Appends the JSON text, for people and logs. */
enum status scope_to_text(const struct scope *scope, struct buf *out) MUST_CHECK;

/* The entries, in the order they were given. */
size_t scope_size(const struct scope *scope);
struct scope_entry scope_at(const struct scope *scope, size_t i);
bool scope_is_empty(const struct scope *scope);
bool scope_same(const struct scope *a, const struct scope *b); /* same entries, whatever their order */

/* True if an entry with "pub" covers the topic (MT-81); Will topics alike (MT-84). */
bool scope_may_publish(const struct scope *scope, struct topic_name topic);

/* True if the holder may subscribe to every topic `filter` can match: it must equal, or lie inside, the filter
 * of one entry with "sub", not of several together (MT-82). Of a shared filter the filter inside counts. */
bool scope_may_subscribe(const struct scope *scope, struct topic_filter filter);

/* True if an entry with "sub" matches the topic: checked again when a message is handed over (MT-98). */
bool scope_may_receive(const struct scope *scope, struct topic_name topic);

/* True if `outer` permits all that `inner` does, entry by entry. */
bool scope_covers(const struct scope *outer, const struct scope *inner);

/* What both permit: every pair of entries intersected, entries lying inside another left out. */
enum status scope_intersect(const struct scope *a, const struct scope *b, struct scope **ret_scope,
                            struct why *why) MUST_CHECK;

#endif
