#include "shard/message.h"

#include "record/record.h"
#include "shard/memory.h"
#include "shard/pressure.h"

#include <stdlib.h>

#define PACKET_BODY_MAX 268435455u /* MQTT5 1.5.5 */

static size_t varint_len(uint32_t v)
{
    return v < 128 ? 1 : v < 16384 ? 2 : v < 2097152 ? 3 : 4;
}

static uint32_t put_varint_at(uint8_t *p, uint32_t at, uint32_t v)
{
    do {
        uint8_t low = (uint8_t)(v & 0x7f);
        v >>= 7;
        p[at++] = v > 0 ? (uint8_t)(low | 0x80) : low;
    } while (v > 0);
    return at;
}

static uint32_t put_at(uint8_t *p, uint32_t at, struct span s)
{
    if (s.len > 0)
        memcpy(p + at, s.p, s.len);
    return at + (uint32_t)s.len;
}

enum status message_new(const struct message_parts *parts, struct message **ret_message)
{
    struct message *m;
    uint32_t at = 0;
    size_t body, total;

    if (parts->topic.len > UINT16_MAX || parts->properties.len > PACKET_BODY_MAX ||
        parts->payload.len > PACKET_BODY_MAX)
        return ST_TOO_LARGE;
    body = 2 + parts->topic.len + varint_len((uint32_t)parts->properties.len) + parts->properties.len +
           parts->payload.len;
    if (body > PACKET_BODY_MAX)
        return ST_TOO_LARGE;
    total = 1 + varint_len((uint32_t)body) + body;

    m = malloc(sizeof *m + total);
    if (m == NULL)
        return ST_NO_MEMORY;
    atomic_init(&m->refs, 1);
    m->qos = parts->qos;
    m->retain = parts->retain;
    m->publisher = parts->publisher;
    m->expires_ms = parts->expires_ms;
    m->token_until_s = parts->token_until_s;
    m->token_tag = parts->token_tag;
    atomic_init(&m->topic_hash, 0);
    atomic_init(&m->cell, NULL);
    m->wire_len = (uint32_t)total;
    m->topic_len = (uint16_t)parts->topic.len;

    m->wire[at++] = 0x30; /* PUBLISH, QoS 0 (MQTT5 2.1.2) */
    at = put_varint_at(m->wire, at, (uint32_t)body);
    m->wire[at++] = (uint8_t)(parts->topic.len >> 8);
    m->wire[at++] = (uint8_t)parts->topic.len;
    m->topic_at = (uint8_t)at;
    at = put_at(m->wire, at, parts->topic);
    at = put_varint_at(m->wire, at, (uint32_t)parts->properties.len);
    m->properties_at = at;
    at = put_at(m->wire, at, parts->properties);
    m->payload_at = at;
    at = put_at(m->wire, at, parts->payload);
    ASSERT(at == m->wire_len);
    *ret_message = m;
    return ST_OK;
}

struct message *message_ref(const struct message *m)
{
    struct message *shared = (struct message *)m; /* only the count is written */

    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

void message_unref(const struct message *m)
{
    struct message *shared = (struct message *)m;

    if (m == NULL || atomic_fetch_sub_explicit(&shared->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct memory_cell *cell = atomic_load_explicit(&shared->cell, memory_order_relaxed);
    if (cell != NULL)
        atomic_fetch_sub_explicit(&cell->bytes, memory_block(message_size(m)), memory_order_relaxed);
    free(shared);
}

void message_keep(const struct message *m, struct memory_cell *cell)
{
    struct message *shared = (struct message *)m; /* like the count of references */
    struct memory_cell *none = NULL;

    if (cell == NULL || atomic_load_explicit(&shared->cell, memory_order_relaxed) != NULL)
        return;
    if (atomic_compare_exchange_strong_explicit(&shared->cell, &none, cell, memory_order_relaxed,
                                                memory_order_relaxed))
        atomic_fetch_add_explicit(&cell->bytes, memory_block(message_size(m)), memory_order_relaxed);
}

uint32_t message_topic_hash(const struct message *m, struct hash_key key)
{
    struct message *shared = (struct message *)m;
    uint32_t hash = atomic_load_explicit(&shared->topic_hash, memory_order_relaxed);

    if (hash != 0)
        return hash;
    hash = (uint32_t)siphash(key, message_topic(m));
    if (hash == 0)
        hash = 1;
    atomic_store_explicit(&shared->topic_hash, hash, memory_order_relaxed);
    return hash;
}

struct record_message message_record(const struct message *m, uint64_t number, struct now now)
{
    return (struct record_message){ .number = number,
                                    .qos = m->qos,
                                    .retain = m->retain,
                                    .publisher = m->publisher,
                                    .expires_ms = record_time(now, m->expires_ms),
                                    .token_until_s = m->token_until_s,
                                    .token_tag = m->token_tag,
                                    .topic = message_topic(m),
                                    .properties = message_properties(m),
                                    .payload = message_payload(m) };
}

struct message_parts message_parts_of(const struct record_message *record, struct now now)
{
    return (struct message_parts){ .topic = record->topic,
                                   .properties = record->properties,
                                   .payload = record->payload,
                                   .qos = record->qos,
                                   .retain = record->retain,
                                   .publisher = record->publisher,
                                   .expires_ms = record_time_back(now, record->expires_ms),
                                   .token_until_s = record->token_until_s,
                                   .token_tag = record->token_tag };
}

void message_unrefp(struct message **m)
{
    message_unref(*m);
}
