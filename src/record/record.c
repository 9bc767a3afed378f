#include "record/record.h"

#include "record/record_priv.h"
#include "store/kv_batch.h"

/* ---- keys ---- */

static void add(struct record_key *key, uint64_t number, unsigned bytes)
{
    while (bytes-- > 0)
        key->bytes[key->len++] = (uint8_t)(number >> 8 * bytes);
}

static struct record_key make(enum record_kind kind)
{
    return (struct record_key){ .len = 1, .bytes = { (uint8_t)kind } };
}

static struct record_key make_u64(enum record_kind kind, uint64_t a)
{
    struct record_key key = make(kind);

    add(&key, a, 8);
    return key;
}

static struct record_key make_u64_u64(enum record_kind kind, uint64_t a, uint64_t b)
{
    struct record_key key = make_u64(kind, a);

    add(&key, b, 8);
    return key;
}

struct record_key record_key_meta(void)
{
    return make(RECORD_META);
}

struct record_key record_key_session(uint64_t session)
{
    return make_u64(RECORD_SESSION, session);
}

struct record_key record_key_will(uint64_t session)
{
    return make_u64(RECORD_WILL, session);
}

struct record_key record_key_received(uint64_t session)
{
    return make_u64(RECORD_RECEIVED, session);
}

struct record_key record_key_subscription(uint64_t session, uint32_t n)
{
    struct record_key key = make_u64(RECORD_SUBSCRIPTION, session);

    add(&key, n, 4);
    return key;
}

struct record_key record_key_delivery(uint64_t session, uint64_t n)
{
    return make_u64_u64(RECORD_DELIVERY, session, n);
}

struct record_key record_key_message(uint64_t body)
{
    return make_u64(RECORD_MESSAGE, body);
}

struct record_key record_key_retained(uint64_t n)
{
    return make_u64(RECORD_RETAINED, n);
}

struct record_key record_key_group(uint64_t group)
{
    return make_u64(RECORD_GROUP, group);
}

struct record_key record_key_item(uint64_t group, uint64_t seq)
{
    return make_u64_u64(RECORD_ITEM, group, seq);
}

struct record_key record_key_out(uint32_t from, uint32_t to, uint64_t n)
{
    struct record_key key = make(RECORD_OUT);

    add(&key, from, 4);
    add(&key, to, 4);
    add(&key, n, 8);
    return key;
}

enum status record_delete(struct kv_batch *b, struct record_key key)
{
    return kv_batch_del(b, record_key_span(&key));
}

/* ---- values ---- */

uint32_t record_sum(struct span key, struct span value)
{
    static const struct hash_key fixed = { { 0x53796d626f6c6f6e, 1 } };
    struct hash_key of_key = { { siphash(fixed, key), 1 } };

    return (uint32_t)siphash(of_key, value);
}

/* One record on its way into a batch. */
struct writing {
    struct kv_batch *b;
    struct record_key key;
    struct buf *v;
    size_t at; /* of the value in it */
};

static struct writing begin(struct kv_batch *b, struct record_key key)
{
    struct writing w = { .b = b, .key = key };

    w.v = kv_batch_put_begin(b, record_key_span(&key));
    w.at = w.v->len;
    return w;
}

static enum status end(const struct writing *w)
{
    if (buf_ok(w->v))
        put_u32(w->v, record_sum(record_key_span(&w->key), span_of(w->v->p + w->at, w->v->len - w->at)));
    return kv_batch_put_end(w->b);
}

static uint8_t bit(bool set, unsigned flag)
{
    return set ? (uint8_t)flag : 0;
}

static void put_prefixed32(struct buf *v, struct span s)
{
    put_u32(v, (uint32_t)s.len);
    put_bytes(v, s);
}

enum status record_put_meta(struct kv_batch *b, const struct record_meta *r)
{
    struct writing w = begin(b, record_key_meta());
    struct buf *v = w.v;

    put_u32(v, r->format);
    put_u32(v, r->workers);
    put_u64(v, r->home_key.k[0]);
    put_u64(v, r->home_key.k[1]);
    put_u64(v, (uint64_t)r->started_ms);
    return end(&w);
}

static void put_owner(struct buf *v, const struct record_owner *o)
{
    unsigned flags = RECORD_OWNER_TOKEN;

    if (!o->has_token) {
        put_u8(v, 0);
        return;
    }
    flags |= bit(o->sub.p != NULL, RECORD_OWNER_SUB);
    flags |= bit(o->client_id.p != NULL, RECORD_OWNER_CLIENT);
    flags |= bit(o->has_twin, RECORD_OWNER_TWIN);
    put_u8(v, (uint8_t)flags);
    put_u64(v, (uint64_t)o->until_ms);
    put_bytes(v, span_of(o->token_hash, sizeof o->token_hash));
    put_bytes(v, span_of(o->cnf_thumbprint, sizeof o->cnf_thumbprint));
    if (o->has_twin)
        put_bytes(v, span_of(o->token_twin, sizeof o->token_twin));
    put_prefixed32(v, o->iss);
    if (o->sub.p != NULL)
        put_prefixed32(v, o->sub);
    if (o->client_id.p != NULL)
        put_prefixed32(v, o->client_id);
}

enum status record_put_session(struct kv_batch *b, const struct record_session *r)
{
    struct writing w = begin(b, record_key_session(r->session));
    struct buf *v = w.v;

    put_u8(v, r->version);
    put_u32(v, r->expiry_s);
    put_u64(v, (uint64_t)r->left_ms);
    put_prefixed16(v, r->client_id);
    put_owner(v, &r->owner);
    return end(&w);
}

/* Topic, properties, payload: as in a PUBLISH of QoS 0. */
static void put_publication(struct buf *v, struct span topic, struct span properties, struct span payload)
{
    put_prefixed16(v, topic);
    put_varint(v, (uint32_t)properties.len);
    put_bytes(v, properties);
    put_bytes(v, payload);
}

enum status record_put_will(struct kv_batch *b, const struct record_will *r)
{
    struct writing w = begin(b, record_key_will(r->session));
    struct buf *v = w.v;

    put_u8(v, (uint8_t)(r->qos | bit(r->retain, RECORD_RETAIN) | bit(r->has_expiry, RECORD_HAS_EXPIRY)));
    put_u32(v, r->delay_s);
    put_u32(v, r->expiry_s);
    put_publication(v, r->topic, r->properties, r->payload);
    return end(&w);
}

enum status record_put_received(struct kv_batch *b, uint64_t session, const uint16_t *ids, uint16_t count)
{
    struct writing w = begin(b, record_key_received(session));
    struct buf *v = w.v;

    for (size_t i = 0; i < count; i++)
        put_u16(v, ids[i]);
    return end(&w);
}

enum status record_put_subscription(struct kv_batch *b, const struct record_subscription *r)
{
    struct writing w = begin(b, record_key_subscription(r->session, r->n));
    struct buf *v = w.v;

    put_u8(v, (uint8_t)(r->qos | bit(r->no_local, RECORD_NO_LOCAL) |
                        bit(r->retain_as_published, RECORD_AS_PUBLISHED)));
    put_u32(v, r->id);
    put_bytes(v, r->filter);
    return end(&w);
}

enum status record_put_delivery(struct kv_batch *b, const struct record_delivery *r)
{
    struct writing w = begin(b, record_key_delivery(r->session, r->n));
    struct buf *v = w.v;

    ASSERT(r->n_ids <= RECORD_MAX_IDS && r->state <= 3);
    put_u64(v, r->body);
    put_u8(v, (uint8_t)(r->qos | r->state << RECORD_STATE_SHIFT | bit(r->retain, RECORD_DELIVERY_RETAIN) |
                        bit(r->dup, RECORD_DELIVERY_DUP) | bit(r->backlog, RECORD_DELIVERY_BACKLOG) |
                        bit(r->group.len > 0, RECORD_DELIVERY_GROUP)));
    put_u16(v, r->packet_id);
    put_u8(v, r->n_ids);
    for (size_t i = 0; i < r->n_ids; i++)
        put_u32(v, r->ids[i]);
    if (r->group.len > 0) {
        put_u64(v, r->share_seq);
        put_bytes(v, r->group);
    }
    return end(&w);
}

static enum status put_message(struct kv_batch *b, struct record_key key, const struct record_message *r,
                               uint8_t flags)
{
    struct writing w = begin(b, key);
    struct buf *v = w.v;

    put_u8(v, (uint8_t)(r->qos | bit(r->retain, RECORD_RETAIN) | flags));
    put_u64(v, r->publisher);
    put_u64(v, (uint64_t)r->expires_ms);
    put_u64(v, (uint64_t)r->token_until_s);
    put_u64(v, r->token_tag);
    put_publication(v, r->topic, r->properties, r->payload);
    return end(&w);
}

enum status record_put_message(struct kv_batch *b, const struct record_message *r)
{
    return put_message(b, record_key_message(r->number), r, 0);
}

enum status record_put_retained(struct kv_batch *b, const struct record_message *r)
{
    return put_message(b, record_key_retained(r->number), r, 0);
}

enum status record_put_group(struct kv_batch *b, const struct record_group *r)
{
    struct writing w = begin(b, record_key_group(r->group));

    put_bytes(w.v, r->text);
    return end(&w);
}

enum status record_put_item(struct kv_batch *b, const struct record_item *r)
{
    return put_message(b, record_key_item(r->group, r->seq), &r->message, 0);
}

enum status record_put_out(struct kv_batch *b, const struct record_out *r)
{
    return put_message(b, record_key_out(r->from, r->to, r->n), &r->message,
                       bit(r->retained, RECORD_SETS_RETAINED));
}

/* ---- times ---- */

static int64_t wall_ms(struct now now)
{
    return now.wall.s * MS_PER_S + now.wall.ms;
}

int64_t record_time(struct now now, int64_t mono_ms)
{
    int64_t t;

    if (mono_ms == TIME_NEVER || __builtin_add_overflow(mono_ms - now.mono.ms, wall_ms(now), &t))
        return RECORD_NEVER;
    return t;
}

int64_t record_time_back(struct now now, int64_t at_ms)
{
    int64_t t;

    if (at_ms == RECORD_NEVER || __builtin_sub_overflow(at_ms, wall_ms(now), &t) ||
        __builtin_add_overflow(t, now.mono.ms, &t))
        return at_ms < 0 ? INT64_MIN : TIME_NEVER;
    return t;
}
