/* A-4xx: the token endpoint in CBOR over HTTPS (RFC 9200 5, 5.8). */
#include "kit/as_talk_priv.h"
#include "kit/say_priv.h"

#include "codec/cbor.h"

#define MEDIA "application/ace+cbor"

enum {
    ACCESS_TOKEN = 1,
    EXPIRES_IN = 2,
    AUDIENCE = 5,
    CNF = 8,
    CLIENT_ID = 24,
    CLIENT_SECRET = 25,
    ERROR = 30,
    GRANT_TYPE = 33,
    ACE_PROFILE = 38
};

static struct as_answer send_cbor(struct kit *k, struct span body)
{
    struct as_request request = { .type = MEDIA, .accept = MEDIA, .body = body };
    struct as_answer a = as_send(k, &request);

    if (going(k) && (a.code == 415 || a.code == 406))
        not_applicable(k, "the server does not speak %s over HTTPS (MAY)", MEDIA);
    return a;
}

/* The client's request; `more` are encoded pairs. */
static struct span request(struct kit *k, const char *secret, struct span more, size_t more_count)
{
    struct buf b;

    buf_init(&b, 65536);
    cb_put_map(&b, 3 + more_count);
    cb_put_int(&b, AUDIENCE);
    cb_put_text(&b, span_of_str(k->s->audience));
    cb_put_int(&b, CLIENT_ID);
    cb_put_text(&b, span_of_str(k->s->client_id));
    cb_put_int(&b, CLIENT_SECRET);
    cb_put_bytes(&b, span_of_str(secret));
    put_bytes(&b, more);
    return bytes(k, &b);
}

static struct cb *parsed(struct kit *k, const struct as_answer *a)
{
    struct cb *cb = NULL;
    struct why why = { "", "", 0 };

    if (!going(k))
        return NULL;
    if (!check(k, span_starts_with(a->content_type, SPAN(MEDIA)), "the answer is not " MEDIA))
        return NULL;
    if (cb_parse(a->body, 65536, &cb, &why) != ST_OK)
        fail(k, "the answer is no deterministic CBOR: %s", why.text);
    return cb;
}

static void token(struct kit *k)
{
    struct as_answer a = send_cbor(k, request(k, k->s->client_secret, SPAN_NONE, 0));
    CLEANUP(cb_unrefp)
    struct cb *cb =
        going(k) && check(k, a.code == 200 || a.code == 201, "HTTP 200 expected") ? parsed(k, &a) : NULL;
    struct span bytes_of;

    if (cb != NULL &&
        check(k, cb_as_bytes(cb_get(cb, ACCESS_TOKEN), &bytes_of), "no access_token (1) as bytes") &&
        check(k, cb_is(cb_get(cb, CNF), CB_MAP), "no cnf (8)"))
        saw(k, "a token of %zu bytes", bytes_of.len);
    as_answer_done(&a);
}

static void profile(struct kit *k)
{
    struct as_answer a = send_cbor(k, request(k, k->s->client_secret, SPAN("\x18\x26\xf6"), 1));
    CLEANUP(cb_unrefp)
    struct cb *cb = parsed(k, &a);
    int64_t number = 0;

    if (cb != NULL && check(k, cb_as_i64(cb_get(cb, ACE_PROFILE), &number), "ace_profile (38) was asked for"))
        (void)check(k, number == 3, "ace_profile is not 3");
    as_answer_done(&a);
}

static void must_refuse(struct kit *k, struct span body, int64_t error)
{
    struct as_answer a = send_cbor(k, body);
    CLEANUP(cb_unrefp)
    struct cb *cb = NULL;
    int64_t got = 0;

    if (going(k) && check(k, a.code >= 400 && a.code <= 499, "a refusal expected"))
        cb = parsed(k, &a);
    if (cb != NULL && check(k, cb_as_i64(cb_get(cb, ERROR), &got), "no error (30) as a number")) {
        saw(k, "error %lld", (long long)got);
        (void)check(k, got == error, "another error expected");
    }
    as_answer_done(&a);
}

static void wrong_secret(struct kit *k)
{
    must_refuse(k, request(k, "wrong", SPAN_NONE, 0), 2);
}

static void unknown_grant(struct kit *k)
{
    must_refuse(k, request(k, k->s->client_secret, SPAN("\x18\x21\x18\x63"), 1), 5);
}

static void name_as_text(struct kit *k)
{
    must_refuse(k,
                request(k, k->s->client_secret,
                        SPAN("\x6a"
                             "grant_type"
                             "\x02"),
                        1),
                1);
}

static void profile_as_text(struct kit *k)
{
    must_refuse(k,
                request(k, k->s->client_secret,
                        SPAN("\x18\x26\x68"
                             "mqtt_tls"),
                        1),
                1);
}

static void key_twice(struct kit *k)
{
    must_refuse(k, request(k, k->s->client_secret, SPAN("\x05\x61x"), 1), 1);
}

static void cut_short(struct kit *k)
{
    struct span whole = request(k, k->s->client_secret, SPAN_NONE, 0);

    must_refuse(k, span_cut(whole, 0, whole.len - 3), 1);
}

static void bomb(struct kit *k)
{
    must_refuse(k, repeated(k, "\x81", 5000), 1);
}

static void indefinite(struct kit *k)
{
    must_refuse(k, SPAN("\xbf\x18\x18\x61x\xff"), 1);
}

#define C (NEED_AS | NEED_CLIENT)
/* clang-format off */
static const struct kit_case cases[] = {
    { "A-401", "RFC 9200 5, 5.8.2; MT-2 AF-5 AF-7 AF-28", "a token for a CBOR request: integers for names, bytes for the token", C, POLITE, token },
    { "A-402", "RFC 9431 7.3; RFC 9200 5.8.4.3; AF-8 AF-24", "ace_profile asked for with null comes back as 3", C, POLITE, profile },
    { "A-411", "RFC 9200 5.8.3; MT-15 AF-51", "a wrong secret: error 2", C, RUDE, wrong_secret },
    { "A-412", "RFC 9200 5.8.3; AF-51", "another grant: error 5", C, RUDE, unknown_grant },
    { "A-413", "RFC 9200 5.8; AF-7", "a registered name as text: error 1", C, RUDE, name_as_text },
    { "A-414", "RFC 9200 5.8.4.3; AF-8", "a profile's name in CBOR: error 1", C, RUDE, profile_as_text },
    { "A-415", "RFC 8949 5.6; TK-48", "a key twice", C, RUDE, key_twice },
    { "A-416", "RFC 8949; TK-50", "cut short", C, RUDE, cut_short },
    { "A-417", "RFC 8949 10; TK-49", "5000 nested arrays", NEED_AS, RUDE, bomb },
    { "A-418", "RFC 8949 3.2.2; TK-50", "a map of indefinite length", NEED_AS, RUDE, indefinite },
};
/* clang-format on */

const struct kit_theme theme_as_cbor = { "as_cbor", KIT_AS, cases, COUNT_OF(cases) };
