/* Records back from the disk: what is written here is believed to be hostile. */
#include "base/reader.h"
#include "base/utf8.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "record/record_priv.h"

#define CLAUSE              "store record"
#define SUBSCRIPTION_ID_MAX 268435455u /* MQTT5 3.8.2.1.2 */

static enum status bad(struct why *why, const char *text, size_t at)
{
    return reject(why, ST_MALFORMED, CLAUSE, text, at);
}

/* ---- what all of them have: the kind and the numbers in the key, the sum at the end ---- */

struct opened {
    struct reader key;
    struct reader value; /* without the sum */
};

enum status record_unsum(struct span key, struct span *value, struct why *why)
{
    struct reader sum;

    if (value->len < RECORD_SUM_LEN)
        return bad(why, "the value is shorter than its sum", value->len);
    value->len -= RECORD_SUM_LEN;
    sum = reader_make(span_of(value->p + value->len, RECORD_SUM_LEN), CLAUSE);
    if (read_u32(&sum) != record_sum(key, *value))
        return bad(why, "the sum is wrong: the disk has changed it", value->len);
    return ST_OK;
}

static enum status open_record(struct span key, struct span value, enum record_kind kind, size_t key_len,
                               struct opened *out, struct why *why)
{
    enum status st;

    if (key.len != key_len || key.p[0] != (uint8_t)kind)
        return bad(why, "the key has not the length or the kind of such a record", 0);
    st = record_unsum(key, &value, why);
    if (st != ST_OK)
        return st;
    out->key = reader_make(span_of(key.p + 1, key.len - 1), CLAUSE);
    out->value = reader_make(value, CLAUSE);
    return ST_OK;
}

/* After everything was read, and before any of it is looked at. */
static enum status close_record(const struct opened *o, struct why *why)
{
    enum status st = reader_finish(&o->value, why);

    return st == ST_OK ? reader_finish(&o->key, why) : st;
}

static struct span read_prefixed32(struct reader *r)
{
    return read_bytes(r, read_u32(r));
}

static struct span present(struct span s, bool there)
{
    static const uint8_t nothing[1] = { 0 };

    if (!there)
        return SPAN_NONE;
    return s.p != NULL ? s : span_of(nothing, 0); /* empty, and yet not absent */
}

/* ---- one kind after the other ---- */

enum status record_read_meta(struct span key, struct span value, struct record_meta *out, struct why *why)
{
    struct opened o;
    enum status st = open_record(key, value, RECORD_META, 1, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_meta){ .format = read_u32(&o.value) };
    if (reader_ok(&o.value) && out->format != RECORD_FORMAT) /* what follows is for another version to read */
        return ST_OK;
    out->workers = read_u32(&o.value);
    out->home_key.k[0] = read_u64(&o.value);
    out->home_key.k[1] = read_u64(&o.value);
    out->started_ms = (int64_t)read_u64(&o.value);
    st = close_record(&o, why);
    if (st == ST_OK && out->workers == 0)
        st = bad(why, "a broker without workers", 4);
    return st;
}

static void read_owner(struct reader *r, uint8_t flags, struct record_owner *out)
{
    struct span hash, thumbprint, twin;

    *out = (struct record_owner){ .has_token = true, .has_twin = (flags & RECORD_OWNER_TWIN) != 0 };
    out->until_ms = (int64_t)read_u64(r);
    hash = read_bytes(r, sizeof out->token_hash);
    thumbprint = read_bytes(r, sizeof out->cnf_thumbprint);
    twin = out->has_twin ? read_bytes(r, sizeof out->token_twin) : SPAN_NONE;
    out->iss = present(read_prefixed32(r), true);
    out->sub = (flags & RECORD_OWNER_SUB) != 0 ? present(read_prefixed32(r), true) : SPAN_NONE;
    out->client_id = (flags & RECORD_OWNER_CLIENT) != 0 ? present(read_prefixed32(r), true) : SPAN_NONE;
    if (!reader_ok(r))
        return;
    memcpy(out->token_hash, hash.p, sizeof out->token_hash);
    memcpy(out->cnf_thumbprint, thumbprint.p, sizeof out->cnf_thumbprint);
    if (out->has_twin)
        memcpy(out->token_twin, twin.p, sizeof out->token_twin);
}

enum status record_read_session(struct span key, struct span value, struct record_session *out, struct why *why)
{
    const uint8_t all = RECORD_OWNER_TOKEN | RECORD_OWNER_SUB | RECORD_OWNER_CLIENT | RECORD_OWNER_TWIN;
    struct opened o;
    uint8_t flags;
    enum status st = open_record(key, value, RECORD_SESSION, 9, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_session){ .session = read_u64(&o.key) };
    out->version = read_u8(&o.value);
    out->expiry_s = read_u32(&o.value);
    out->left_ms = (int64_t)read_u64(&o.value);
    out->client_id = read_prefixed16(&o.value);
    flags = read_u8(&o.value);
    if ((flags & RECORD_OWNER_TOKEN) != 0)
        read_owner(&o.value, flags, &out->owner);
    st = close_record(&o, why);
    if (st != ST_OK)
        return st;
    if (out->session == 0)
        return bad(why, "session number 0", 0);
    if (out->version != MQTT_3_1_1 && out->version != MQTT_5)
        return bad(why, "a version of MQTT that is not spoken here", 0);
    if (out->expiry_s == 0)
        return bad(why, "a session that ends with its connection", 1);
    if (out->left_ms < 0)
        return bad(why, "a time before 1970", 5);
    if (out->client_id.len == 0 || !utf8_valid_mqtt(out->client_id))
        return bad(why, "the client identifier is empty or no text", 13);
    if ((flags & ~all) != 0 || ((flags & RECORD_OWNER_TOKEN) == 0 && flags != 0))
        return bad(why, "flags of the owner that mean nothing", 15 + out->client_id.len);
    return ST_OK;
}

/* As in a PUBLISH: Property Length, then only what travels with a message unaltered. */
static enum status read_message_properties(struct reader *r, struct span *ret, struct why *why)
{
    struct reader ahead = *r, block;
    struct mqtt_properties p;
    enum status st;

    if (reader_left(r) > 0 && r->p[r->at] == 0) { /* none, as with most */
        (void)read_u8(r);
        *ret = SPAN_NONE;
        return ST_OK;
    }
    st = mqtt_read_properties(&ahead, MQTT_PUBLISH, MQTT_FROM_CLIENT, &p, why);
    if (st != ST_OK)
        return ST_MALFORMED; /* on a disk there is no protocol to break */
    if (mqtt_has(&p, PROP_TOPIC_ALIAS) || mqtt_has(&p, PROP_MESSAGE_EXPIRY))
        return bad(why, "a property that belongs to one sending", reader_at(r));
    block = read_block_varint(r);
    *ret = read_rest(&block);
    return ST_OK;
}

static enum status check_topic(struct span topic, struct why *why)
{
    struct topic_name name;

    return topic_name_parse(topic, &name, why);
}

enum status record_read_will(struct span key, struct span value, struct record_will *out, struct why *why)
{
    struct opened o;
    uint8_t flags;
    enum status st = open_record(key, value, RECORD_WILL, 9, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_will){ .session = read_u64(&o.key) };
    flags = read_u8(&o.value);
    out->qos = flags & RECORD_QOS;
    out->retain = (flags & RECORD_RETAIN) != 0;
    out->has_expiry = (flags & RECORD_HAS_EXPIRY) != 0;
    out->delay_s = read_u32(&o.value);
    out->expiry_s = read_u32(&o.value);
    out->topic = read_prefixed16(&o.value);
    st = read_message_properties(&o.value, &out->properties, why);
    if (st != ST_OK)
        return st;
    out->payload = read_rest(&o.value);
    st = close_record(&o, why);
    if (st != ST_OK)
        return st;
    if (out->qos > 2 || (flags & ~(RECORD_QOS | RECORD_RETAIN | RECORD_HAS_EXPIRY)) != 0)
        return bad(why, "flags of a Will that mean nothing", 0);
    if (out->payload.len > UINT16_MAX) /* MQTT5 3.1.3.4: Binary Data */
        return bad(why, "a Will longer than any CONNECT brings", 0);
    return check_topic(out->topic, why);
}

uint16_t record_received_id(const struct record_received *r, size_t at)
{
    return (uint16_t)(r->ids.p[2 * at] << 8 | r->ids.p[2 * at + 1]);
}

enum status record_read_received(struct span key, struct span value, struct record_received *out,
                                 struct why *why)
{
    struct opened o;
    uint16_t last = 0;
    enum status st = open_record(key, value, RECORD_RECEIVED, 9, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_received){ .session = read_u64(&o.key), .ids = read_rest(&o.value) };
    st = close_record(&o, why);
    if (st != ST_OK)
        return st;
    if (out->ids.len % 2 != 0)
        return bad(why, "half a packet identifier", out->ids.len);
    for (size_t i = 0; i < out->ids.len / 2; i++) {
        uint16_t id = record_received_id(out, i);

        if (id <= last)
            return bad(why, "packet identifiers are 0 or not in order", 2 * i);
        last = id;
    }
    return ST_OK;
}

enum status record_read_subscription(struct span key, struct span value, struct record_subscription *out,
                                     struct why *why)
{
    struct topic_filter filter;
    struct opened o;
    uint8_t flags;
    enum status st = open_record(key, value, RECORD_SUBSCRIPTION, 13, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_subscription){ .session = read_u64(&o.key) };
    out->n = read_u32(&o.key);
    flags = read_u8(&o.value);
    out->qos = flags & RECORD_QOS;
    out->no_local = (flags & RECORD_NO_LOCAL) != 0;
    out->retain_as_published = (flags & RECORD_AS_PUBLISHED) != 0;
    out->id = read_u32(&o.value);
    out->filter = read_rest(&o.value);
    st = close_record(&o, why);
    if (st != ST_OK)
        return st;
    if (out->qos > 2 || (flags & ~(RECORD_QOS | RECORD_NO_LOCAL | RECORD_AS_PUBLISHED)) != 0)
        return bad(why, "options of a subscription that mean nothing", 0);
    if (out->id > SUBSCRIPTION_ID_MAX)
        return bad(why, "a Subscription Identifier out of range", 1);
    st = topic_filter_parse(out->filter, &filter, why);
    if (st == ST_OK && out->no_local && topic_filter_is_shared(filter))
        st = bad(why, "No Local on a shared subscription", 0); /* MQTT5 [MQTT-3.8.3-4] */
    return st;
}

static enum status check_delivery(const struct record_delivery *d, struct why *why)
{
    /* QoS 1: 0 and 1, QoS 2: 0, 2 and 3 of enum delivery_state (outbox.h) */
    static const uint8_t states[] = { 0, 0x3, 0xd, 0 };
    bool released = d->state == 3;

    if ((states[d->qos] & 1u << d->state) == 0)
        return bad(why, "a state this QoS has not", 8);
    if (d->packet_id == 0 && (d->state != 0 || d->dup))
        return bad(why, "sent without a packet identifier", 9);
    if ((d->body == 0) != released)
        return bad(why, "a message where none is owed, or none where one is", 0);
    if (d->n_ids > RECORD_MAX_IDS)
        return bad(why, "too many Subscription Identifiers", 11);
    for (size_t i = 0; i < d->n_ids; i++)
        if (d->ids[i] == 0 || d->ids[i] > SUBSCRIPTION_ID_MAX)
            return bad(why, "a Subscription Identifier out of range", 12 + 4 * i);
    return ST_OK;
}

static enum status check_group(struct span text, struct why *why)
{
    struct topic_filter filter;
    enum status st = topic_filter_parse(text, &filter, why);

    if (st == ST_OK && !topic_filter_is_shared(filter))
        st = bad(why, "a group that is no shared subscription", 0);
    return st;
}

enum status record_read_delivery(struct span key, struct span value, struct record_delivery *out,
                                 struct why *why)
{
    struct opened o;
    uint8_t flags;
    enum status st = open_record(key, value, RECORD_DELIVERY, 17, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_delivery){ .session = read_u64(&o.key) };
    out->n = read_u64(&o.key);
    out->body = read_u64(&o.value);
    flags = read_u8(&o.value);
    out->qos = flags & RECORD_QOS;
    out->state = flags >> RECORD_STATE_SHIFT & 3;
    out->retain = (flags & RECORD_DELIVERY_RETAIN) != 0;
    out->dup = (flags & RECORD_DELIVERY_DUP) != 0;
    out->backlog = (flags & RECORD_DELIVERY_BACKLOG) != 0;
    out->packet_id = read_u16(&o.value);
    out->n_ids = read_u8(&o.value);
    for (size_t i = 0; i < out->n_ids && i < RECORD_MAX_IDS; i++)
        out->ids[i] = read_u32(&o.value);
    if ((flags & RECORD_DELIVERY_GROUP) != 0) {
        out->share_seq = read_u64(&o.value);
        out->group = read_rest(&o.value);
    }
    st = close_record(&o, why);
    if (st == ST_OK)
        st = check_delivery(out, why);
    if (st == ST_OK && (flags & RECORD_DELIVERY_GROUP) != 0)
        st = check_group(out->group, why);
    return st;
}

/* The whole value. */
/* `also`: flags that may be there besides; `ret_also`, which may be NULL, gets them. */
static enum status read_message_value(struct opened *o, uint8_t also, uint8_t *ret_also,
                                      struct record_message *out, struct why *why)
{
    uint8_t flags = read_u8(&o->value);
    enum status st;

    if (ret_also != NULL)
        *ret_also = flags & also;
    flags &= (uint8_t)~also;

    out->qos = flags & RECORD_QOS;
    out->retain = (flags & RECORD_RETAIN) != 0;
    out->publisher = read_u64(&o->value);
    out->expires_ms = (int64_t)read_u64(&o->value);
    out->token_until_s = (int64_t)read_u64(&o->value);
    out->token_tag = read_u64(&o->value);
    out->topic = read_prefixed16(&o->value);
    st = read_message_properties(&o->value, &out->properties, why);
    if (st != ST_OK)
        return st;
    out->payload = read_rest(&o->value);
    st = close_record(o, why);
    if (st != ST_OK)
        return st;
    if (out->qos > 2 || (flags & ~(RECORD_QOS | RECORD_RETAIN)) != 0)
        return bad(why, "flags of a message that mean nothing", 0);
    return check_topic(out->topic, why);
}

static enum status read_message(enum record_kind kind, struct span key, struct span value,
                                struct record_message *out, struct why *why)
{
    struct opened o;
    enum status st = open_record(key, value, kind, 9, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_message){ .number = read_u64(&o.key) };
    st = read_message_value(&o, 0, NULL, out, why);
    if (st == ST_OK && out->number == 0)
        st = bad(why, "message number 0", 0);
    return st;
}

enum status record_read_message(struct span key, struct span value, struct record_message *out, struct why *why)
{
    return read_message(RECORD_MESSAGE, key, value, out, why);
}

enum status record_read_retained(struct span key, struct span value, struct record_message *out,
                                 struct why *why)
{
    enum status st = read_message(RECORD_RETAINED, key, value, out, why);

    if (st == ST_OK && (out->payload.len == 0 || !out->retain))
        st = bad(why, "no message that can be retained", 0); /* MQTT5 [MQTT-3.3.1-6] */
    return st;
}

enum status record_read_group(struct span key, struct span value, struct record_group *out, struct why *why)
{
    struct opened o;
    enum status st = open_record(key, value, RECORD_GROUP, 9, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_group){ .group = read_u64(&o.key), .text = read_rest(&o.value) };
    st = close_record(&o, why);
    return st == ST_OK ? check_group(out->text, why) : st;
}

enum status record_read_item(struct span key, struct span value, struct record_item *out, struct why *why)
{
    struct opened o;
    enum status st = open_record(key, value, RECORD_ITEM, 17, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_item){ .group = read_u64(&o.key) };
    out->seq = read_u64(&o.key);
    return read_message_value(&o, 0, NULL, &out->message, why);
}

enum status record_read_out(struct span key, struct span value, struct record_out *out, struct why *why)
{
    uint8_t flags = 0;
    struct opened o;
    enum status st = open_record(key, value, RECORD_OUT, 17, &o, why);

    if (st != ST_OK)
        return st;
    *out = (struct record_out){ .from = read_u32(&o.key) };
    out->to = read_u32(&o.key);
    out->n = read_u64(&o.key);
    st = read_message_value(&o, RECORD_SETS_RETAINED, &flags, &out->message, why);
    out->retained = flags != 0;
    if (st == ST_OK && out->retained && !out->message.retain)
        st = bad(why, "to be retained, and no retained message", 0);
    return st;
}
