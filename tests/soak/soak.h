/* tests/soak/soak.h - many sessions of every kind, that come and go for a long time, and what became of each message.
 *
 * Sessions stand in a ring: each hears what the one before it publishes, numbered by its stamp (load/track.h), and one of
 * ten publishes to a shared subscription instead. What they are repeats every ten; see `kinds` in member.c. A session that is
 * durable keeps here what MQTT has a client keep (5.0 4.1: what it sent without an answer, QoS 2 ids it has not let go),
 * so that a message is lost, or came twice, only if the broker says so.
 * Threads: one. Times in ns of the monotonic clock, tokens by the calendar. */
#ifndef SYMBOLON_TESTS_SOAK_SOAK_H
#define SYMBOLON_TESTS_SOAK_SOAK_H

#include "crypto/key.h"
#include "load/link.h"
#include "load/track.h"
#include "load/trouble.h"
#include "mint.h"
#include "mqtt/packet.h"
#include "program.h"

#define SECOND_NS INT64_C(1000000000)
#define WINDOW    8  /* publications without an answer */
#define GROUPS    10 /* shared subscriptions */
#define KINDS     10
#define WATCHER   3 /* this session hears all Wills */

struct options {
    const char *host, *ca_file, *key_file, *issuer, *audience;
    int port;
    size_t sessions;
    double seconds;    /* after all have come once */
    double interval_s; /* between two publications of a session */
    double churn;      /* sessions that leave in a second */
    double away_s;     /* at most */
    int64_t life_s;    /* of a token, at most; a third of it at least */
};

struct kind {
    enum mqtt_version version;
    bool durable;
    uint8_t qos;
    bool will, retains, shares; /* publishes to a group */
    bool member;                /* of a group */
};

enum member_state { MEMBER_AWAY, MEMBER_WAITING, MEMBER_OPENING, MEMBER_CONNACK, MEMBER_SUBACK, MEMBER_OPEN };

/* A publication of QoS > 0 without its last answer. */
struct flight {
    uint64_t number;
    uint16_t id;   /* 0: free */
    bool received; /* PUBREC has come */
};

struct member {
    struct link link;
    struct soak *soak;
    const struct kind *kind;
    uint32_t number;
    enum member_state state;
    bool was_open;  /* at least once */
    bool by_us;     /* it is us who close */
    bool came_back; /* since nobody begins anything */
    int64_t opened_ns, wrote_ns, publish_ns, back_ns;

    struct key *key;
    struct span token; /* owned */
    int64_t ends_s, next_ends_s;
    int64_t
        renew_s; /* when it asks for another in the session (5.0) or leaves to come back with one; 0: lets it end */
    bool asked; /* for the renewal */
    struct span next_token;

    struct flight flights[WINDOW];
    size_t in_flight;
    uint16_t last_id;
    uint64_t sent, acked, unsure; /* unsure: given up without an answer, so either is right */
    uint16_t *held;               /* QoS 2 ids that came and were not released */
    size_t held_count, held_cap;

    bool retained_valid;              /* what it published last must be found by whoever subscribes */
    uint64_t retained, retained_from; /* only from this number on: the others were under another token */
    uint64_t wills, wills_unsure;     /* Wills that had to be said, and others */
    bool retained_due;                /* it has subscribed, and this number or a later one must come */
    uint64_t retained_wanted;
    int64_t retained_limit_ns;

    struct track heard;      /* of the one before it, at this one */
    struct track shared;     /* of this one, at the group */
    struct track will_heard; /* of this one, at the watcher */
};

struct counts {
    uint64_t opened, left, dropped, renewed, ended, unexplained, lost_sessions, refused, strange, outlived,
        late_renewals;
    uint64_t published, received, retained, retained_missing, wills;
};

struct soak {
    const struct options *options;
    struct link_loop loop;
    struct troubles troubles;
    struct member *members;
    size_t count, open, opening;
    size_t next_waiting; /* where the search for one to open goes on */
    struct mint mint;
    int64_t wall_minus_mono_ns;
    uint64_t random;
    bool calm; /* nobody leaves, nobody begins */
    struct counts counts;
};

/* member.c */
void member_fail(struct member *m, const char *format, ...) PRINTF_LIKE(2, 3);
void member_init(struct member *m, struct soak *soak, uint32_t number);
void member_done(struct member *m);
void member_open(struct member *m);
void member_leave(struct member *m, bool politely);
void member_tick(struct member *m, int64_t now_ns);
bool member_idle(const struct member *m);             /* nothing under way */
struct member *member_before(const struct member *m); /* whom it hears; NULL: nobody */

/* publish.c */
void member_publish(struct member *m);
void member_resend(struct member *m);  /* after a CONNACK with Session Present */
void member_give_up(struct member *m); /* a session that ends with its connection */
void member_got_publish(struct member *m, const struct mqtt_frame *frame);
void member_got_ack(struct member *m, const struct mqtt_frame *frame);
void member_will(const struct member *m, uint8_t payload[STAMP_LEN], char *topic, size_t cap,
                 struct mqtt_will *out);

/* token.c */
void tokens_open(struct soak *soak);
void tokens_done(struct soak *soak);
void member_need_token(struct member *m); /* a new one if the old is near its end */
enum status member_prove(struct member *m, struct mqtt_connect *connect, struct buf *data, struct buf *pop);
void member_renew(struct member *m); /* AUTH 0x19 */
void member_got_auth(struct member *m, const struct mqtt_frame *frame);
int64_t soak_wall_ns(const struct soak *soak);

/* soak.c */
uint32_t soak_pick(struct soak *soak, uint32_t below);
void member_sent(struct member *m); /* a packet is complete */

#endif
