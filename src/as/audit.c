#include "as/audit.h"

#include "base/log.h"

#define AUDIT_BYTES_MAX (128 * 1024)

static void put_part(struct buf *b, struct span s)
{
    put_u32(b, (uint32_t)s.len);
    put_bytes(b, s);
}

/* Lengths in front of each part: no two entries have the same bytes. */
static enum status chain(const uint8_t previous[SHA256_LEN], const struct audit_entry *e,
                         uint8_t out[SHA256_LEN])
{
    struct buf b;

    buf_init(&b, AUDIT_BYTES_MAX);
    put_bytes(&b, span_of(previous, SHA256_LEN));
    put_u64(&b, (uint64_t)e->seq);
    put_u64(&b, (uint64_t)e->at);
    put_part(&b, e->actor);
    put_part(&b, e->event);
    put_part(&b, e->subject);
    put_part(&b, e->detail);
    enum status st = buf_ok(&b) ? sha256(buf_span(&b), out) : ST_NO_MEMORY;
    buf_done(&b);
    return st;
}

static enum status take_head(void *ctx, const struct sql_row *row)
{
    struct audit_head *head = ctx;
    struct span hash = sql_bytes(row, 1);

    if (hash.len != SHA256_LEN)
        return ST_INTERNAL;
    head->seq = sql_i64(row, 0);
    memcpy(head->hash, hash.p, SHA256_LEN);
    return ST_OK;
}

enum status audit_head(struct sql *sql, struct audit_head *ret, struct why *why)
{
    *ret = (struct audit_head){ 0 };
    return sql_query(sql, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", take_head, ret, why);
}

enum status audit_append(struct sql *sql, const struct audit_entry *entry, struct audit_head *ret_head,
                         struct why *why)
{
    struct audit_entry e = *entry;
    struct audit_head head;
    uint8_t hash[SHA256_LEN];
    enum status st;

    st = audit_head(sql, &head, why);
    if (st != ST_OK)
        return st;
    e.seq = head.seq + 1;
    st = chain(head.hash, &e, hash);
    if (st != ST_OK)
        return reject(why, st, "as audit", "the entry could not be hashed", 0);
    st = sql_run(sql,
                 "INSERT INTO audit (seq, at, actor, event, subject, detail, hash)"
                 " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                 NULL, why, SQL_I64(e.seq), SQL_I64(e.at), SQL_TEXT(e.actor), SQL_TEXT(e.event),
                 SQL_TEXT(e.subject), SQL_TEXT(e.detail), SQL_BLOB(span_of(hash, sizeof hash)));
    if (st != ST_OK)
        return st;
    ret_head->seq = e.seq;
    memcpy(ret_head->hash, hash, sizeof hash);
    return ST_OK;
}

void audit_log(const struct audit_entry *entry, const struct audit_head *head)
{
    log_event(NULL, LOG_NOTICE, "audit", F_I64("seq", head->seq), F_SPAN("actor", entry->actor),
              F_SPAN("event", entry->event), F_SPAN("subject", entry->subject),
              F_HEX("hash", span_of(head->hash, sizeof head->hash)));
}

struct walk {
    audit_fn *fn;
    void *ctx;
};

static enum status give_entry(void *ctx, const struct sql_row *row)
{
    struct walk *walk = ctx;
    struct audit_entry e = {
        .seq = sql_i64(row, 0),
        .at = sql_i64(row, 1),
        .actor = sql_bytes(row, 2),
        .event = sql_bytes(row, 3),
        .subject = sql_bytes(row, 4),
        .detail = sql_bytes(row, 5),
        .hash = sql_bytes(row, 6),
    };
    return walk->fn(walk->ctx, &e);
}

enum status audit_each(struct sql *sql, int64_t after, int64_t limit, audit_fn *fn, void *ctx, struct why *why)
{
    struct walk walk = { fn, ctx };

    return sql_query(sql,
                     "SELECT seq, at, actor, event, subject, detail, hash FROM audit WHERE seq > $1"
                     " ORDER BY seq LIMIT $2",
                     give_entry, &walk, why, SQL_I64(after), SQL_I64(limit));
}

struct verify {
    struct audit_head head;
    int64_t broken_at;
};

static enum status verify_entry(void *ctx, const struct audit_entry *e)
{
    struct verify *v = ctx;
    uint8_t expected[SHA256_LEN];

    v->broken_at = v->head.seq + 1;
    if (e->seq != v->broken_at || chain(v->head.hash, e, expected) != ST_OK ||
        !span_eq(e->hash, span_of(expected, sizeof expected)))
        return ST_INTERNAL;
    v->head.seq = e->seq;
    memcpy(v->head.hash, expected, sizeof expected);
    return ST_OK;
}

enum status audit_verify(struct sql *sql, struct audit_head *ret, struct why *why)
{
    struct verify v = { 0 };
    enum status st = audit_each(sql, 0, INT64_MAX, verify_entry, &v, why);

    if (st == ST_INTERNAL)
        return reject(why, st, "as audit", "the chain is broken at this entry", (size_t)v.broken_at);
    if (st == ST_OK)
        *ret = v.head;
    return st;
}
