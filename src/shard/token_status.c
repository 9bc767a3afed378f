#include "shard/token_status.h"

#include "shard/shard_priv.h"
#include "shard/token_store.h"

#include <stdlib.h>

static bool is_called(const struct table_node *node, const void *hash)
{
    const struct session *s = CONTAINER_OF(node, struct session, token_node);

    return memcmp(s->grant->token->hash, hash, TOKEN_HASH_LEN) == 0;
}

static bool is_also_called(const struct table_node *node, const void *hash)
{
    const struct session *s = CONTAINER_OF(node, struct session, twin_node);

    return memcmp(s->grant->token->twin, hash, TOKEN_HASH_LEN) == 0;
}

static struct session *session_of(struct list *token_link)
{
    return CONTAINER_OF(token_link, struct session, token_link);
}

static struct session *find_token(const struct shard *shard, const uint8_t *hash)
{
    struct table_node *node =
        table_find(&shard->tokens, table_hash(&shard->tokens, span_of(hash, TOKEN_HASH_LEN)), is_called, hash);

    return node == NULL ? NULL : CONTAINER_OF(node, struct session, token_node);
}

/* The first of its ring. */
static struct session *find(const struct shard *shard, const uint8_t *hash)
{
    struct session *s = find_token(shard, hash);
    struct table_node *node;

    if (s != NULL)
        return s;
    node = table_find(&shard->twins, table_hash(&shard->twins, span_of(hash, TOKEN_HASH_LEN)), is_also_called,
                      hash);
    return node == NULL ? NULL : CONTAINER_OF(node, struct session, twin_node);
}

static void put_in_tables(struct session *s, const struct token *token)
{
    struct table *tokens = &s->shard->tokens, *twins = &s->shard->twins;

    s->in_tokens = true;
    s->in_twins = token->has_twin;
    table_insert(tokens, &s->token_node, table_hash(tokens, span_of(token->hash, TOKEN_HASH_LEN)));
    if (s->in_twins)
        table_insert(twins, &s->twin_node, table_hash(twins, span_of(token->twin, TOKEN_HASH_LEN)));
}

static void take_out_of_tables(struct session *s)
{
    if (s->in_tokens)
        table_remove(&s->shard->tokens, &s->token_node);
    if (s->in_twins)
        table_remove(&s->shard->twins, &s->twin_node);
    s->in_tokens = s->in_twins = false;
}

void token_status_index(struct session *s, const struct grant *grant)
{
    const struct token *token = grant == NULL ? NULL : grant->token;
    struct list *next = s->token_link.next;
    struct session *first;

    if (s->in_tokens && list_linked(&s->token_link)) /* the next one stands for the ring */
        put_in_tables(session_of(next), session_of(next)->grant->token);
    take_out_of_tables(s);
    list_remove(&s->token_link);
    if (token == NULL)
        return;
    first = find_token(s->shard, token->hash);
    if (first != NULL)
        list_append(&first->token_link, &s->token_link);
    else
        put_in_tables(s, token);
}

static bool nobody_waits(const struct session *s)
{
    return !conn_is_open(s->conn) && grant_expired(s->grant, s->shard->now);
}

/* The grant is over from now on, whatever its token says: for a session waiting for its client as well. */
static void end_grant(struct session *s, const struct why *why, const char *event)
{
    struct conn *c = s->conn;
    enum status st = ST_BAD_TOKEN;

    if (s->grant->told || (!s->grant->revoked && nobody_waits(s)))
        return;
    grant_end(s->grant, s->shard->now);
    s->grant->told = true;
    STATS_INC(&s->shard->stats, tokens_revoked);
    if (conn_is_open(c))
        conn_refuse(c, status_mqtt5_code(st), st, why, event);
    else
        log_event(s->shard->log, LOG_NOTICE, event, F_SPAN("client_id", session_client_id(s)), F_WHY(st, *why));
}

/* The key is what possession was proved of: an answer about another key is not about this session. */
static bool same_holder(const struct token *a, const struct token *b)
{
    if (a->cnf_how != b->cnf_how || !span_eq(a->iss, b->iss))
        return false;
    if (a->format == TOKEN_JWT && a->jti.p != NULL && b->jti.p != NULL && !span_eq(a->jti, b->jti))
        return false; /* about another token of the same key; a CWT's cti has another form there */
    if (a->cnf_how == TOKEN_CNF_KID)
        return span_eq(a->cnf_kid, b->cnf_kid);
    return memcmp(a->cnf_thumbprint, b->cnf_thumbprint, TOKEN_HASH_LEN) == 0;
}

/* An answer that names the key by its kid is about the key the former token was bound to, if that is its kid. */
static enum status bind(const struct token *before, struct token *after, struct token **ret)
{
    if (after->cnf_how == TOKEN_CNF_KID && before->cnf_how == TOKEN_CNF_KEY && before->cnf_kid.p != NULL &&
        span_eq(before->cnf_kid, after->cnf_kid) && span_eq(before->iss, after->iss))
        return token_bind_key(after, before->cnf, ret);
    *ret = token_ref(after);
    return ST_OK;
}

static enum status make_grant(struct session *s, struct token *news, struct grant **ret_grant, struct why *why)
{
    CLEANUP(token_unrefp)
    struct token *token = NULL;
    enum status st = bind(s->grant->token, news, &token);

    if (st != ST_OK)
        return reject(why, st, "memory", "out of memory", 0);
    if (!same_holder(s->grant->token, token))
        return reject(why, ST_BAD_TOKEN, "TK-65", "the authorization server now speaks of another token or key",
                      0);
    return grant_new(token, s->shard->settings->tokens, s->shard->now, ret_grant, why);
}

static void swap_grant(struct session *s, struct token *token)
{
    struct why why = { 0 };
    struct grant *grant = NULL;
    uint32_t lost = 0;
    enum status st;

    if (s->shard->settings->tokens != NULL && token_store_is_stale(s->shard->settings->tokens, token))
        return; /* it changed again meanwhile, and the answer to that is on its way */
    st = make_grant(s, token, &grant, &why);

    if (st != ST_OK) {
        end_grant(s, &why, "token_revoked");
        return;
    }
    STATS_INC(&s->shard->stats, tokens_changed);
    st = session_renew_grant(s, grant, &lost, &why);
    log_event(s->shard->log, LOG_NOTICE, "token_changed", F_SPAN("client_id", session_client_id(s)),
              F_SPAN("subject", grant_subject(s->grant)), F_I64("until", s->grant->until_s),
              F_I64("subscriptions_lost", lost));
    if (!conn_is_open(s->conn))
        return;
    if (st != ST_OK)
        conn_refuse(s->conn, status_mqtt5_code(st), st, &why, "token_changed_refused");
    else
        session_pump(s);
}

/* ---- a few in each turn ---- */

/* One piece of news, and the sessions it is still to reach. */
struct status_job {
    struct list link;
    struct list sessions;
    struct token *token; /* what theirs has become; NULL: they are cut */
    struct why why;
    const char *event;
};

static void act(const struct status_job *job, struct session *s)
{
    token_status_index(s, s->grant);
    if (job->token != NULL)
        swap_grant(s, job->token);
    else
        end_grant(s, &job->why, job->event);
}

static void job_free(struct status_job *job)
{
    struct list *link;

    list_remove(&job->link);
    while ((link = list_shift(&job->sessions)) != NULL)
        token_status_index(session_of(link), session_of(link)->grant);
    token_unref(job->token);
    free(job);
}

/* Nothing here ends a session: conn_reap() does, afterwards. */
static void go_on(struct shard *shard)
{
    struct token_work *work = &shard->status;
    struct list *link;

    while (work->left > 0 && (link = list_shift(&work->expired)) != NULL) {
        struct session *s = session_of(link);

        token_status_index(s, s->grant);
        if (!conn_is_open(s->conn))
            continue;
        if (!grant_expired(s->grant, shard->now)) {
            session_start_grant_timer(s);
            continue;
        }
        work->left--;
        conn_grant_over(s->conn);
    }
    while (!list_empty(&work->jobs)) {
        struct status_job *job = CONTAINER_OF(work->jobs.next, struct status_job, link);

        if (list_empty(&job->sessions)) {
            job_free(job);
            continue;
        }
        if (work->left == 0)
            return;
        work->left--;
        act(job, session_of(list_shift(&job->sessions)));
    }
}

/* All of a ring: out of the tables, behind `sessions`. */
static void take_ring(struct session *first, struct list *sessions)
{
    struct list ring;

    take_out_of_tables(first);
    list_append(&first->token_link, &ring); /* a head for the ring: in front of the first */
    list_splice(sessions, &ring);
}

/* Permission ends at once for all of them (MT-107); only to cut them takes its time. */
static void end_all(struct shard *shard, struct list *sessions)
{
    LIST_EACH (link, sessions)
        if (!nobody_waits(session_of(link)))
            grant_end(session_of(link)->grant, shard->now);
}

/* The same for what it permits no longer: until their turn comes both the old and the new must permit it. */
static void narrow_all(const struct status_job *news, struct list *sessions)
{
    LIST_EACH (link, sessions)
        grant_news(session_of(link)->grant, news->token);
}

static void begin(struct shard *shard, const struct status_job *news, struct list *sessions)
{
    struct status_job *job;
    struct list *link;

    if (list_empty(sessions))
        return;
    if (news->token == NULL)
        end_all(shard, sessions);
    else
        narrow_all(news, sessions);
    job = calloc(1, sizeof *job);
    if (job == NULL) { /* all at once, then */
        while ((link = list_shift(sessions)) != NULL)
            act(news, session_of(link));
        return;
    }
    *job = *news;
    if (job->token != NULL)
        job->token = token_ref(job->token);
    list_init(&job->sessions);
    list_splice(&job->sessions, sessions);
    list_append(&shard->status.jobs, &job->link);
    go_on(shard);
}

void token_status_init(struct shard *shard)
{
    list_init(&shard->status.jobs);
    list_init(&shard->status.expired);
    shard->status.left = STATUS_PER_TURN;
}

/* The sessions have gone before. */
void token_status_done(struct shard *shard)
{
    while (!list_empty(&shard->status.jobs))
        job_free(CONTAINER_OF(shard->status.jobs.next, struct status_job, link));
}

void token_status_turn(struct shard *shard)
{
    shard->status.left = STATUS_PER_TURN;
    go_on(shard);
}

bool token_status_waits(const struct shard *shard)
{
    return !list_empty(&shard->status.jobs) || !list_empty(&shard->status.expired);
}

void token_status_over(struct session *s)
{
    token_status_index(s, NULL);
    list_append(&s->shard->status.expired, &s->token_link);
    go_on(s->shard);
}

static bool is_named(const struct session *s, const uint8_t *hash)
{
    const struct token *token = s->grant->token;

    return memcmp(token->hash, hash, TOKEN_HASH_LEN) == 0 ||
           (token->has_twin && memcmp(token->twin, hash, TOKEN_HASH_LEN) == 0);
}

/* One that former news of its token is still to reach; not if that has ended it already. */
static struct session *find_waiting(const struct shard *shard, const uint8_t *hash)
{
    LIST_EACH (link, &shard->status.jobs) {
        const struct status_job *job = CONTAINER_OF(link, struct status_job, link);

        if (job->token == NULL)
            continue;
        LIST_EACH (waits, &job->sessions)
            if (is_named(session_of(waits), hash))
                return session_of(waits);
    }
    return NULL;
}

/* The last word counts: who has this token, or without `hash` one of this issuer, does not wait for the former one any more. */
static void take_waiting(struct shard *shard, const uint8_t *hash, struct span iss, struct list *sessions)
{
    LIST_EACH (link, &shard->status.jobs) {
        struct status_job *job = CONTAINER_OF(link, struct status_job, link);

        if (job->token == NULL)
            continue;
        LIST_EACH_SAFE (waits, &job->sessions) {
            const struct session *s = session_of(waits);

            if (hash != NULL ? !is_named(s, hash) : !span_eq(s->grant->token->iss, iss))
                continue;
            list_remove(waits);
            list_append(sessions, waits);
        }
    }
}

void token_status_news(struct shard *shard, const uint8_t *hash, struct token *token, const struct why *why)
{
    const struct status_job news = { .token = token, .why = *why, .event = "token_revoked" };
    struct list sessions;
    struct session *first;

    list_init(&sessions);
    if (token == NULL && (first = find_waiting(shard, hash)) != NULL && first->grant->token->has_twin)
        (void)retained_revoke(shard->retained, grant_tag(first->grant));
    take_waiting(shard, hash, SPAN_NONE, &sessions);
    if (token == NULL) /* what was published on it is not served any more (MT-111) */
        (void)retained_revoke(shard->retained, token_tag_of(hash));
    while ((first = find(shard, hash)) != NULL) {
        if (token == NULL && first->grant->token->has_twin)
            (void)retained_revoke(shard->retained, grant_tag(first->grant)); /* `hash` may be its other name */
        take_ring(first, &sessions);
    }
    begin(shard, &news, &sessions);
}

struct token *token_status_find(const struct shard *shard, const uint8_t *hash)
{
    const struct session *s = find(shard, hash);

    if (s == NULL)
        s = find_waiting(shard, hash);
    return s == NULL ? NULL : token_ref(s->grant->token);
}

void token_status_silence(struct shard *shard, struct span iss, const struct why *why)
{
    const struct status_job news = { .why = *why, .event = "issuer_silent" };
    struct table_node *node, *next;
    struct list sessions;

    list_init(&sessions);
    for (node = table_next(&shard->tokens, NULL); node != NULL; node = next) {
        struct session *s = CONTAINER_OF(node, struct session, token_node);

        next = table_next(&shard->tokens, node); /* before it is taken out */
        if (span_eq(s->grant->token->iss, iss))
            take_ring(s, &sessions);
    }
    take_waiting(shard, NULL, iss, &sessions);
    begin(shard, &news, &sessions);
}
