#include "net/tls_world.h"

#define TICKET_MAX 65536

struct tls_variant tls_usual(void)
{
    return (struct tls_variant){
        .client = { .ca_pem = buf_span(&test_certs.ca.cert_pem) },
        .server = { .cert_pem = buf_span(&test_certs.server.cert_pem),
                    .key_pem = buf_span(&test_certs.server.key_pem) },
        .expect = { .host = "localhost" },
    };
}

void tls_pair_init(struct tls_pair *p, const struct tls_variant *v)
{
    *p = (struct tls_pair){ .psk_ctx = v->psk_ctx };
    buf_init(&p->client.out, BUF_MAX);
    buf_init(&p->server.out, BUF_MAX);
    assert_int_equal(tls_config_new_client(&v->client, &p->client.config, NULL), ST_OK);
    assert_int_equal(tls_config_new_server(&v->server, &p->server.config, NULL), ST_OK);
    assert_int_equal(tls_session_new_client(p->client.config, &v->expect, &p->client.session, NULL), ST_OK);
    assert_int_equal(tls_session_new_server(p->server.config, &p->server.session, NULL), ST_OK);
    tls_session_set_psk_ctx(p->server.session, p->psk_ctx);
}

void tls_pair_done(struct tls_pair *p)
{
    tls_session_free(p->client.session);
    tls_session_free(p->server.session);
    tls_config_unref(p->client.config);
    tls_config_unref(p->server.config);
    buf_done(&p->client.out);
    buf_done(&p->server.out);
}

void tls_step(struct tls_side *to, struct tls_side *from)
{
    struct tls_io io = { buf_span(&from->out), &to->out };
    to->result = tls_handshake(to->session, &io, &to->why);
    buf_drop_front(&from->out, from->out.len - io.in.len);
}

void tls_join(struct tls_pair *p)
{
    for (int i = 0; i < 10; i++) {
        tls_step(&p->client, &p->server);
        tls_step(&p->server, &p->client);
        if (p->client.result == TLS_FAILED || p->server.result == TLS_FAILED)
            break;
    }
}

bool tls_up(const struct tls_pair *p)
{
    return p->client.result == TLS_OK && p->server.result == TLS_OK;
}

void tls_say(struct tls_side *from, struct span plain)
{
    struct tls_io io = { SPAN_NONE, &from->out };
    assert_int_equal(tls_write(from->session, &io, plain, NULL), ST_OK);
}

enum tls_result tls_hear(struct tls_side *to, struct tls_side *from, struct buf *heard)
{
    struct tls_io io = { buf_span(&from->out), &to->out };
    enum tls_result result;
    do {
        size_t len = 0;
        uint8_t *room = buf_room(heard, 5000); /* smaller than a record: any size is right */
        result = tls_read(to->session, &io, room, 5000, &len, &to->why);
        if (result == TLS_OK)
            buf_added(heard, len);
    } while (result == TLS_OK);
    buf_drop_front(&from->out, from->out.len - io.in.len);
    return result;
}

void tls_again(struct tls_pair *p, const struct tls_expect *expect)
{
    tls_session_free(p->client.session);
    tls_session_free(p->server.session);
    buf_reset(&p->client.out);
    buf_reset(&p->server.out);
    assert_int_equal(tls_session_new_client(p->client.config, expect, &p->client.session, NULL), ST_OK);
    assert_int_equal(tls_session_new_server(p->server.config, &p->server.session, NULL), ST_OK);
    tls_session_set_psk_ctx(p->server.session, p->psk_ctx);
    tls_join(p);
}

bool tls_take_ticket(struct tls_pair *p, struct buf *ticket)
{
    struct buf heard;

    buf_init(&heard, TICKET_MAX);
    buf_init(ticket, TICKET_MAX);
    (void)tls_hear(&p->client, &p->server, &heard);
    buf_done(&heard);
    return tls_resumption_data(p->client.session, ticket);
}
