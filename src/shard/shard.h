/* shard/shard.h - one worker's share of the broker: an actor that owns its sessions, its connections, its
 * topic tree, its part of the retained messages and its timers. Shards share nothing they write; they exchange
 * messages (shard_msg.h). A shard opens no socket, reads no clock, starts no thread: the world does, through
 * `struct shard_world`, and calls the entry points below from one thread at a time.
 *
 * A client's session lives on its home shard, home = siphash(client id) mod shards. Whoever accepts a
 * connection reads its CONNECT; if the home is elsewhere the connection moves there once (conn_move).
 *
 * Ownership: shard_new()/shard_free(). A `struct conn` belongs to the shard and a `struct conn_io` to the
 * world. The two forget each other exactly once: when the shard calls conn_close() or conn_move(), or when the
 * world calls shard_closed(). conn_close() may come while shard_input() is running: look before using the conn
 * again. Order the world must keep, or retained messages and SUBACK lose their meaning:
 *   1. one inbox per shard, in the order of posting, whoever posted (not one queue per pair);
 *   2. within a turn all messages of class SHARD_DATA are in their inboxes before the first of class SHARD_ACK;
 *   3. both are in their inboxes before output of the same turn reaches a socket (a PUBACK promises delivery).
 */
#ifndef SYMBOLON_SHARD_SHARD_H
#define SYMBOLON_SHARD_SHARD_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/table.h"
#include "shard/shard_msg.h"
#include "shard/stats.h"

struct conn;
struct conn_io; /* the world's side of a connection */
struct kv_batch;
struct scope;
struct pressure;
struct shard;
struct token;
struct token_store;
struct verifier;

/* A queue that is full: of a session, or of a shared subscription's group. */
enum queue_full {
    QUEUE_DROP_NEWEST, /* what comes is dropped */
    QUEUE_DROP_OLDEST, /* the oldest that has not been sent yet makes room */
    QUEUE_REFUSE, /* nobody gets it, and the publisher is told: 0x97, to one of 3.1.1 by the end of the connection. So
                   * for the queues of the publisher's own shard; on others, and of QoS 0, what comes is dropped */
};

enum exporter_result {
    EXPORTER_OK,      /* 32 bytes written */
    EXPORTER_RESUMED, /* the TLS session was resumed: its exporter value must not be trusted (MT-61) */
    EXPORTER_NONE,    /* no TLS here, or it failed */
};

/* Who the peer proved to be in the TLS handshake: TLS:Known of RFC 9431 2.2.1, or nobody (TLS:Anon). */
enum identity_kind {
    IDENTITY_NONE,
    IDENTITY_RAW_KEY, /* RFC 7250: holds the private key of this SubjectPublicKeyInfo, and nothing else is known */
    IDENTITY_PSK,     /* holds the key that shard_psk_key() gave for this identity, in this very handshake */
    IDENTITY_X509,    /* holds the private key of this certificate */
    IDENTITY_BUILT_IN, /* no peer at all, but a part of this program */
};

struct conn_identity {
    enum identity_kind kind;
    struct span bytes; /* SPKI in DER, PSK identity, certificate in DER; valid as long as the conn_io */
    struct span
        key; /* IDENTITY_PSK: the key shard_psk_key() gave and the handshake proved; another token may have
                        * come under the same kid since */
    bool verified;          /* IDENTITY_X509: the chain led to our CA */
    struct token *built_in; /* IDENTITY_BUILT_IN: what it may do; lent */
};

enum resolve_kind {
    RESOLVE_INTROSPECT, /* ask the AS about this token; answer with the token it describes */
    RESOLVE_KEYS, /* fetch the issuers' keys again and shard_set_verifier(); answer with ST_OK, no token */
};

struct shard_world {
    void *ctx;

    /* Room for exactly `len` bytes at the end of what goes to this peer, all of which the shard fills before
     * any other call; they leave when the turn ends. NULL: no room or closing (nothing is sent then; the world
     * ends such a connection through shard_closed() in a later turn, or soon gets conn_close()). */
    uint8_t *(*conn_append)(void *ctx, struct conn_io *io, size_t len);
    /* Bytes appended and not yet taken by the kernel. */
    size_t (*conn_pending)(void *ctx, struct conn_io *io);
    /* Send what was appended, then close. The shard has forgotten the connection when this returns. */
    void (*conn_close)(void *ctx, struct conn_io *io);
    /* Hand the connection, with every byte from the beginning of the CONNECT on still unread, to shard `home`,
     * which will get shard_accept(moved = true). The shard has forgotten the connection when this returns. */
    void (*conn_move)(void *ctx, struct conn_io *io, unsigned home);
    /* RFC 5705 exporter, label ACE_EXPORTER_LABEL, zero-length context. `out` NULL: only whether there is one. */
    enum exporter_result (*conn_exporter)(void *ctx, struct conn_io *io, uint8_t out[32]);
    /* Who the peer is by TLS. NULL function: nobody is known that way. A raw key or a certificate may come out of a
     * resumed session, a PSK never does (net/tls.h says why): whether a token still goes with it is to be asked
     * at every CONNECT. */
    void (*conn_identity)(void *ctx, struct conn_io *io, struct conn_identity *out);
    /* true: stop reading from this peer and stop calling shard_input(). false: go on; unread bytes must be
     * offered again, in a later turn, even if no new ones come. */
    void (*conn_pause)(void *ctx, struct conn_io *io, bool pause);
    /* It is authorized; CONNACK 0x00 follows. NULL: nobody wants to know. */
    void (*conn_welcome)(void *ctx, struct conn_io *io);
    /* It did what no honest client does: a forged token, a wrong proof, what is no MQTT. It is being refused for that.
     * NULL: nobody wants to know. */
    void (*conn_fault)(void *ctx, struct conn_io *io);

    /* Put a message into the inbox of another shard. Takes the message. */
    void (*post)(void *ctx, unsigned to, struct shard_msg *msg);
    /* Start an asynchronous token resolution; it ends in one shard_token_resolved(), never from inside this
     * call. NULL when neither introspection nor key fetching is configured. */
    void (*resolve)(void *ctx, enum resolve_kind kind, uint64_t request, struct span token);
    enum status (*random)(void *ctx, void *buf, size_t len);
    /* What all shards have counted, added up, and the bytes of memory in use (0: not known), for $SYS. NULL: this
     * shard's counters are all there are. */
    void (*totals)(void *ctx, struct stats *sum, uint64_t *ret_heap_bytes);

    /* These changes to the disk, whole or not at all, and in the order of `seq`; ends in one shard_stored(), never from
     * inside this call. Moved: the shard's batch is empty afterwards. At most one is on its way. NULL: nothing is kept
     * beyond the life of this process, and nothing waits. */
    void (*store)(void *ctx, uint64_t seq, struct kv_batch *batch);
};

/* What CONNACK of a session that outlives its connection, SUBACK, PUBACK, PUBREC, PUBCOMP promise; the world chooses
 * accordingly when to call shard_seal(). */
enum durability {
    DURABILITY_NONE,     /* nothing (world.store is NULL) */
    DURABILITY_INTERVAL, /* it will be on disk at the next shard_seal(); nothing waits */
    DURABILITY_COMMIT,   /* it is on disk */
};

/* Every limit a shard obeys. Written before the shards are made, then read by all; must outlive them. */
struct shard_settings {
    struct hash_key home_key; /* random; the same for all shards */

    enum durability durability;

    bool accept_v3; /* MQTT 3.1.1 besides 5 (MT-120) */

    /* What is offered of MQTT, and said so in CONNACK where less than all (MQTT5 3.2.2.3) */
    uint8_t maximum_qos; /* of publications taken and of subscriptions granted: 0 to 2 */
    bool retain_available;
    bool wildcard_subscriptions;
    bool subscription_identifiers;
    bool shared_subscriptions;
    struct span response_prefix;  /* Response Information, with ${client_id} in it; empty: none */
    struct span server_reference; /* where clients are sent instead of being dismissed; empty: nowhere */
    uint32_t sys_interval_s;      /* how often $SYS is published; 0: never */
    const char *version;          /* for $SYS/broker/version; NULL: not said */

    struct pressure *pressure; /* shared by all shards; NULL: each makes its own, and counts for itself */
    uint32_t max_connections;  /* these four: over all shards that share `pressure` */
    uint32_t max_sessions;
    uint64_t max_all_subscriptions;
    uint64_t max_all_subscription_bytes; /* of their filters */
    uint64_t
        max_unfinished_bytes; /* the same: parts of packets that wait for the rest, UNFINISHED_SMALL and more; 0: any */
    uint32_t connect_timeout_ms; /* from accept to CONNECT */
    uint32_t auth_timeout_ms;    /* from challenge to answer, and for a token resolution */
    uint32_t packet_timeout_ms;  /* from the first byte of a packet to its last, once connected; 0: any */

    uint16_t max_keep_alive_s; /* a client asking for more, or for none, gets this; 0: no cap */
    bool
        refuse_v3_keep_alive; /* beyond the cap a client of 3.1.1, which cannot be told, is refused; else keeps its own */
    bool
        resume_whole; /* a session whose subscriptions the new token does not all cover is not continued (MT-78 d) */
    bool session_continuation;     /* false: every session ends with its connection (D-25) */
    uint32_t max_session_expiry_s; /* UINT32_MAX: no cap */
    uint32_t max_v3_expiry_s;     /* the same for clients of MQTT 3.1.1, which name no end themselves (MT-77) */
    uint32_t max_guest_expiry_s;  /* the same for clients without a token; 0: none outlives its connection */
    uint32_t max_connect_bytes;   /* CONNECT and AUTH before authorization */
    uint32_t max_packet_bytes;    /* announced as Maximum Packet Size */
    uint16_t receive_maximum;     /* announced: QoS 1 and 2 publications from one client in flight */
    uint16_t topic_alias_maximum; /* announced; 0: none */
    uint16_t topic_aliases_out;   /* to one client, where it takes as many; 0: none */
    uint16_t max_inflight;        /* to one client, <= 32768; the client's Receive Maximum caps it further */
    uint32_t max_queue_messages;  /* per session, waiting and in flight */
    size_t max_queue_bytes;       /* per session */
    enum queue_full queue_full;   /* what becomes of a message for a queue that is full */
    uint32_t max_retained_backlog;  /* per session: retained messages waiting to be sent after a SUBSCRIBE */
    uint32_t max_subscriptions;     /* per session */
    size_t max_subscription_bytes;  /* per session: their filters */
    uint32_t max_subscribe_filters; /* per SUBSCRIBE packet */
    uint32_t max_topic_levels;
    uint32_t matches_remembered;    /* per shard: topics (topic/match_cache.h); a power of two from 64, or 0 */
    size_t max_output_bytes;        /* per connection: beyond, QoS 0 is dropped and QoS 1, 2 stay queued */
    uint32_t max_retained_messages; /* these two: over all shards that share `pressure` */
    bool keep_retained;             /* beyond the publisher's token: not MT-111 */
    size_t max_retained_bytes;

    /* ACE */
    bool send_hints;           /* CONNACK 0x87 carries ace_as_hint (MT-91) */
    struct span hint_as;       /* absolute URI of the token endpoint */
    struct span hint_audience; /* may be empty */
    struct span hint_scope;    /* may be empty */
    bool
        reauth_needs_challenge; /* D-15: only who proved possession by challenge/response may re-authenticate */
    bool reauth_lost_disconnects; /* MT-107: true: losing a subscription ends the connection; false: drop it */
    bool hide_topics;             /* D-24: 0x80 instead of 0x87 for refused topics and filters */
    bool check_client_id_owner;   /* a Client Identifier in use belongs to the token subject that took it */
    bool v5_user_name;            /* MT-55: clients of MQTT 5 may bring token and proof as those of 3.1.1 do */
    const struct scope *public_scope; /* what anybody may do, with or without a token; NULL: nothing (MT-21) */
    struct token_store *tokens;       /* shared by all shards; NULL: nothing is remembered of tokens */
    bool authz_info;                  /* tokens may be published to authz-info (MT-30); needs `tokens` */
    uint32_t max_visitors; /* connections that may do nothing but that, with neither token nor public topics */
    uint32_t visit_ms;     /* how long each may stay */
    bool stored_tokens;    /* MT-60: CONNECT without a token proves the key of the session's last one */
    bool send_cnonce;      /* hints carry a cnonce (AF-15) */
    struct span node; /* name of this broker, for bridges of others that ask (bridge/path.h); may be empty */
};

void shard_settings_init(struct shard_settings *s); /* the defaults; home_key still has to be filled */

/* `settings` and what `world` points to must outlive the shard; `world` is copied. `verifier` is referenced;
 * may be NULL (no token is accepted then). `log` may be NULL. */
enum status shard_new(unsigned index, unsigned shards, const struct shard_settings *settings,
                      const struct shard_world *world, struct verifier *verifier, const struct log *log,
                      struct now now, struct shard **ret_shard) MUST_CHECK;
/* Connections still there are forgotten without a word to the world: close them before (shard_stop). */
void shard_free(struct shard *shard);
void shard_set_verifier(struct shard *shard, struct verifier *verifier); /* takes a reference of its own */

unsigned shard_home(const struct shard_settings *settings, unsigned shards, struct span client_id);

/* `peer` (address as text, for the log) is copied. `moved`: arrived here through conn_move(). NULL when a limit
 * refuses it or memory is short: the world closes the connection. */
struct conn *shard_accept(struct shard *shard, struct conn_io *io, struct span peer, bool moved,
                          struct now now);
/* All bytes not consumed so far, from the first on. Returns how many are consumed; the rest is offered again
 * together with what comes next. 0 after conn_close() or conn_move() was called. */
size_t shard_input(struct shard *shard, struct conn *conn, struct span input, struct now now);
/* Called from inside a TLS handshake, before shard_accept(), on the shard of the worker that accepted it: appends
 * the key that a pre-shared key identity stands for (MT-27, MT-28; up to TLS_PSK_IDENTITY_MAX of any bytes) to `key`.
 * False: not known to us, or no token behind it that is valid now; the handshake then goes on without (certificate) or
 * fails; *ret_fault: no honest client would have named it. `peer` as for shard_accept(). */
bool shard_psk_key(struct shard *shard, struct span identity, struct span peer, struct now now, struct buf *key,
                   bool *ret_fault);
/* The peer or the network ended it; the connection is forgotten. `reason` is for the log, static. */
void shard_closed(struct shard *shard, struct conn *conn, const char *reason, struct now now);
/* The output that had been above a limit of the world or of the shard has been taken by the peer. Calling it
 * whenever pending output reaches zero is right too. */
void shard_output_drained(struct shard *shard, struct conn *conn, struct now now);

/* Takes them: the first of a chain by `next`, oldest first. What every call does at its end is done once for all of them. */
void shard_messages(struct shard *shard, struct shard_msg *first, struct now now);
/* The answer to world.resolve(): takes the token reference (NULL unless ST_OK of RESOLVE_INTROSPECT). A request
 * whose connection is gone is ignored. */
void shard_token_resolved(struct shard *shard, uint64_t request, enum status st, struct token *token,
                          struct why why, struct now now);

/* The journal of settings.tokens has reached further: publishers to authz-info who waited for it are answered. */
void shard_tokens_stored(struct shard *shard, struct now now);

/* News of one token, whose hash (token.h) the revocation list named or whose grant the AS has changed. `token` is what
 * introspection says now (lent), or NULL if it must not be used any longer; `why` then goes to the client and the log.
 * Every session and every connection under way that rests on that hash is swapped to it, as by re-authentication
 * (MT-107), or cut with DISCONNECT 0x87 (MQTT 3.1.1: closed). A session waiting for its client loses the grant: it is
 * asked again when the client returns. */
void shard_token_status(struct shard *shard, const uint8_t hash[32], struct token *token, struct why why,
                        struct now now);
/* Every session whose token is of this issuer is cut so: nothing has been heard of the tokens it has revoked for longer
 * than `revocation.max_stale` allows. */
void shard_issuer_silent(struct shard *shard, struct span iss, struct why why, struct now now);
/* The connection of this client, if it has one, ends with DISCONNECT 0x98 (MQTT 3.1.1: closed), as the operator wishes. */
bool shard_cut_client(struct shard *shard, struct span client_id, struct now now);
/* The session that waits for this client, if one does, ends with all that waits in it. */
bool shard_forget_client(struct shard *shard, struct span client_id, struct now now);
/* The token of that hash which sessions here rest on: a reference, or NULL if there are none. */
struct token *shard_find_token(const struct shard *shard, const uint8_t hash[32]);

/* Timers. Call it each turn before anything else, so that a jump of the wall clock is seen. */
void shard_advance(struct shard *shard, struct now now);
int64_t shard_wait_ms(const struct shard *shard, struct now now); /* -1: nothing to wait for */

/* ---- the disk (shard/journal.h); nothing happens without world.store ---- */

/* What has changed since the last batch becomes one, and goes to world.store(); not while one is on its way. With
 * DURABILITY_COMMIT the world calls it at the end of each turn, whoever has something to acknowledge; else every interval. */
void shard_seal(struct shard *shard, struct now now);
/* That batch is durable. Packets that waited leave; then shard_seal() at the end of this turn takes the next. */
void shard_stored(struct shard *shard, uint64_t seq, struct now now);
/* The disk does not take the batch that is on its way, and will be asked again: `st` and `why` say what it said. With
 * ST_TOO_LARGE it takes every batch, but nothing should be added to it. Until ST_OK comes here, what would have to be
 * durable is refused, and (but for ST_TOO_LARGE) what waits for that batch is told so. */
void shard_store_state(struct shard *shard, enum status st, struct why why, struct now now);
/* Something is not on disk yet: a program that stops calls shard_seal() and waits until there is nothing. */
bool shard_unstored(const struct shard *shard);

/* DISCONNECT 0x8B to everybody, or 0x9C with the Server Reference there is; connections closed, sessions kept (in
 * memory). */
void shard_stop(struct shard *shard, struct now now);

/* A snapshot; may be called from any thread. */
void shard_stats(const struct shard *shard, struct stats *out);

#endif
