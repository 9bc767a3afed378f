#include "kit/files_priv.h"
#include "kit/kit.h"

#include "crypto/x509.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define YEAR_DAYS 365

/* "dir/name" with the content; fails if it is there already. */
static enum status put_file(const char *dir, const char *name, struct span content, struct why *why)
{
    CLEANUP(buf_done)
    struct buf path;

    buf_init(&path, 4096);
    put_fmt(&path, "%s/%s", dir, name);
    put_u8(&path, 0);
    if (!buf_ok(&path))
        return reject(why, ST_TOO_LARGE, "dir", "the path is too long", 0);
    enum status st = write_file((const char *)path.p, content, false, why);
    if (st == ST_EXISTS)
        return reject(why, ST_EXISTS, "dir", "a file of the kit is there already; choose an empty folder", 0);
    return st == ST_OK ? ST_OK : reject(why, st, "dir", "a file could not be written there", 0);
}

static enum status put_json(const char *dir, const char *name, const struct js *js, struct why *why)
{
    CLEANUP(buf_wipe)
    struct buf out;

    buf_init(&out, 65536);
    if (js == NULL || js_print(js, &out) != ST_OK)
        return reject(why, ST_NO_MEMORY, "memory", "out of memory", 0);
    put_str(&out, "\n");
    return put_file(dir, name, buf_span(&out), why);
}

static enum status append_public(struct js *keys, const struct key *key, struct span kid)
{
    struct js *js = NULL;
    enum status st = jwk_print(key, kid, "EdDSA", false, &js);

    return st == ST_OK ? js_append_take(keys, js) : st;
}

/* A key that signs nothing; only its name is wanted. */
static enum status append_stranger(struct js *keys, struct span kid)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    enum status st = key_generate(KEY_ED25519, &key);

    return st == ST_OK ? append_public(keys, key, kid) : st;
}

/* An issuer: its private JWK and its JWKS. The set holds one more key under `namesake`, unless that is empty. */
static enum status put_issuer(const char *dir, const char *key_name, const char *set_name, struct span kid,
                              struct span namesake, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(js_unrefp)
    struct js *private_js = NULL, *set = js_new_object();
    struct js *keys = js_new_array();
    enum status st = key_generate(KEY_ED25519, &key);

    if (st == ST_OK)
        st = jwk_print(key, kid, "EdDSA", true, &private_js);
    if (st == ST_OK)
        st = append_public(keys, key, kid);
    if (st == ST_OK && namesake.len > 0)
        st = append_stranger(keys, namesake);
    if (st == ST_OK)
        st = js_set_take(set, "keys", keys);
    if (st != ST_OK)
        return reject(why, st, "key", "a key could not be made", 0);
    st = put_json(dir, key_name, private_js, why);
    return st == ST_OK ? put_json(dir, set_name, set, why) : st;
}

static enum status put_shared(const char *dir, struct why *why)
{
    CLEANUP(key_unrefp)
    struct key *key = NULL;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    enum status st = key_generate(KEY_SECRET, &key);

    if (st == ST_OK)
        st = jwk_print(key, SPAN("kit-shared"), NULL, true, &js);
    if (st != ST_OK)
        return reject(why, st, "key", "a key could not be made", 0);
    return put_json(dir, "shared.jwk", js, why);
}

static enum status put_certificates(const char *dir, struct why *why)
{
    CLEANUP(x509_pair_done)
    struct x509_pair ca = { 0 }, server = { 0 };
    const struct span names[] = { SPAN("localhost"), SPAN("127.0.0.1"), SPAN("::1") };
    struct wall_time now = now_read().wall;
    enum status st = x509_make_ca(SPAN("Symbolon conformance kit"), YEAR_DAYS, now, &ca, why);

    if (st == ST_OK)
        st = x509_issue_server(buf_span(&ca.cert_pem), buf_span(&ca.key_pem), names[0], names, COUNT_OF(names),
                               YEAR_DAYS, now, &server, why);
    if (st == ST_OK)
        st = put_file(dir, "as-ca.pem", buf_span(&ca.cert_pem), why);
    if (st == ST_OK)
        st = put_file(dir, "as.pem", buf_span(&server.cert_pem), why);
    return st == ST_OK ? put_file(dir, "as.key", buf_span(&server.key_pem), why) : st;
}

/* What `--dir` needs to know besides the files. */
static enum status put_names(const struct kit_setup *s, struct why *why)
{
    CLEANUP(js_unrefp)
    struct js *js = js_new_object();
    enum status st = js_set_str(js, "issuer", span_of_str(s->issuer));

    if (st == ST_OK)
        st = js_set_str(js, "audience", span_of_str(s->audience));
    if (st == ST_OK)
        st = js_set_i64(js, "as_port", s->as_port);
    if (st != ST_OK)
        return reject(why, st, "setup", "issuer or audience is no UTF-8 text", 0);
    return put_json(s->dir, "kit.json", js, why);
}

static void our_settings(const struct kit_setup *s, struct buf *out)
{
    put_fmt(out,
            "audiences: [\"%s\"]\n"
            "authorization_servers:\n"
            "  - issuer: \"%s\"\n"
            "    token_endpoint: \"%s/token\"\n"
            "    jwks_file: jwks.json\n"
            "    token_key_file: shared.jwk\n",
            s->audience, s->issuer, s->issuer);
    if (s->as_port != 0)
        put_fmt(out,
                "    ca: as-ca.pem\n"
                "    introspection_uri: \"https://localhost:%u/introspect\"\n"
                "    client_id: \"%s\"\n"
                "    client_secret_file: rs.secret\n",
                s->as_port, s->audience);
    put_fmt(out,
            "  - issuer: \"%s/other\"\n"
            "    jwks_file: other-jwks.json\n"
            "token: {skew: 0s, as_timeout: 1s, max_cached: 100}\n"
            "limits: {auth_timeout: 3s}\n"
            "authz_info: {enabled: true, rate: 60000}\n"
            "state_dir: state\n"
            "public_topics:\n"
            "  - {filter: \"kit-public\", publish: true, subscribe: true}\n",
            s->issuer);
}

static void words(const struct kit_setup *s, struct buf *out)
{
    put_fmt(out,
            "Made in %s:\n"
            "  issuer.jwk       the private key the kit signs tokens with (keep it to this test)\n"
            "  jwks.json        its public part, for the broker\n"
            "  shared.jwk       the key under which the kit encrypts tokens that hold a secret (A256KW)\n"
            "  other.jwk        a second issuer, and other-jwks.json\n"
            "  as.pem, as.key, as-ca.pem   the kit as introspection endpoint\n"
            "  rs.secret        the broker's secret there\n"
            "  kit.json         issuer, audience and port, for --dir\n"
            "  broker.yaml      all of that as settings of symbolon-broker; add `listeners`\n\n"
            "Any other broker must be told: tokens of issuer %s for audience %s, keys in jwks.json,\n"
            "encrypted ones under shared.jwk; %s/other with other-jwks.json; and, if it can,\n"
            "the topic kit-public for everybody.\n",
            s->dir, s->issuer, s->audience, s->issuer);
    if (s->as_port > 0)
        put_fmt(out, "While the kit runs, it answers introspection as broker.yaml says, on port %u.\n",
                s->as_port);
    else
        put_str(out, "Without --as-port the cases about introspection will not apply.\n");
    put_fmt(out, "Then:\n\n  symbolon conformance broker HOST --dir %s --auth-timeout 3000\n", s->dir);
}

enum status kit_setup(const struct kit_setup *s, struct buf *text, struct why *why)
{
    CLEANUP(buf_done)
    struct buf settings;

    buf_init(&settings, 65536);
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return reject(why, ST_IO, "dir", "the folder could not be made", 0);
    /* The first issuer also has a key of the second's kid (TK-44); what it signs is found by its own kid alone, so that
     * claims are refused for what is bad in them. */
    enum status st = put_issuer(s->dir, "issuer.jwk", "jwks.json", SPAN("kit-1"), SPAN("kit-2"), why);
    if (st == ST_OK)
        st = put_issuer(s->dir, "other.jwk", "other-jwks.json", SPAN("kit-2"), SPAN_NONE, why);
    if (st == ST_OK)
        st = put_shared(s->dir, why);
    if (st == ST_OK)
        st = put_names(s, why);
    if (st == ST_OK)
        st = put_certificates(s->dir, why);
    if (st == ST_OK)
        st = put_file(s->dir, "rs.secret", SPAN("the kit does not check this\n"), why);
    our_settings(s, &settings);
    if (st == ST_OK)
        st = put_file(s->dir, "broker.yaml", buf_span(&settings), why);
    words(s, text);
    return st;
}
