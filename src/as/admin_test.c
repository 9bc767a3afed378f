/* The admin socket's commands: grammar, lists, secrets that stay secret, and changes that are recorded or not made. */
#include "as/audit.h"
#include "as/world_test.h"
#include "codec/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

static void lines_that_are_no_commands_are_refused(void **state UNUSED)
{
    static const struct {
        const char *line, *error;
    } rows[] = {
        { "", "MALFORMED" },
        { "status", "MALFORMED" },
        { "[]", "MALFORMED" },
        { "{}", "MALFORMED" },
        { "{\"cmd\":7}", "MALFORMED" },
        { "{\"cmd\":\"\"}", "NOT_FOUND" },
        { "{\"cmd\":\"STATUS\"}", "NOT_FOUND" },
        { "{\"cmd\":\"status\",\"cmd\":\"status\"}", "MALFORMED" },
        { "{\"cmd\":\"status\"} x", "MALFORMED" },
        { "{\"cmd\":\"status\",\"verbose\":true}", "MALFORMED" },
        { "{\"cmd\":\"client.add\"}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":7}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"groups\":\"g\"}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"groups\":[\"g\",\"g\"]}", "EXISTS" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"secret\":\"yes\"}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"x5t#S256\":\"AAAA\"}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"certificate\":\"none\"}", "MALFORMED" },
        { "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}",
          "BAD_POP_KEY" },
        { "{\"cmd\":\"client.list\",\"limit\":0}", "MALFORMED" },
        { "{\"cmd\":\"client.list\",\"limit\":100000}", "MALFORMED" },
        { "{\"cmd\":\"client.show\",\"client_id\":\"nobody\"}", "NOT_FOUND" },
        { "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"token_format\":\"saml\"}", "MALFORMED" },
        { "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"lifetime_s\":1}", "MALFORMED" },
        { "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"key\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", "BAD_POP_KEY" },
        { "{\"cmd\":\"rs.add\",\"audience\":\"mqtts://a\"}", "BAD_CLIENT_ID" },
        { "{\"cmd\":\"rs.add\",\"audience\":\"\"}", "MALFORMED" },
        { "{\"cmd\":\"token.revoke\"}", "MALFORMED" },
        { "{\"cmd\":\"token.revoke\",\"jti\":\"a\",\"client_id\":\"b\"}", "MALFORMED" },
        { "{\"cmd\":\"token.revoke\",\"jti\":\"unknown\"}", "NOT_FOUND" },
        { "{\"cmd\":\"policy.list\",\"after\":\"x\"}", "MALFORMED" },
        { "{\"cmd\":\"enroll.create\",\"ttl_s\":0}", "MALFORMED" },
        { "{\"cmd\":\"enroll.remove\",\"id\":\"' OR 1=1 --\"}", "NOT_FOUND" },
    };
    CLEANUP(world_freep)
    struct world *w = world_new();

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        world_admin_refused(w, rows[i].line, rows[i].error);
    int64_t clients = -1, seq = -1;
    assert_true(js_get_i64(world_admin(w, "{\"cmd\":\"status\"}"), "clients", &clients) && clients == 0);
    assert_true(js_get_i64(w->answer, "audit_seq", &seq) && seq == 0);
}

static void lists_go_on_where_they_stopped(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = world_new();
    const char *after = "";

    for (int i = 0; i < 7; i++)
        world_admin(w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"c%d\",\"groups\":[\"%s\"]}", i,
                                  i % 2 == 0 ? "even" : "odd"));
    for (int page = 0; page < 3; page++) {
        const struct js *answer =
            world_admin(w, world_text(w, "{\"cmd\":\"client.list\",\"limit\":3,\"after\":\"%s\"}", after));
        assert_int_equal(js_size(js_get(answer, "clients")), page < 2 ? 3 : 1);
        assert_int_equal(js_get(answer, "next") != NULL, page < 2);
        if (page < 2)
            after = world_str(w, answer, "next");
    }
    assert_int_equal(js_size(js_get(world_admin(w, "{\"cmd\":\"client.list\",\"group\":\"even\"}"), "clients")),
                     4);
    /* by number: "next" given back as it came */
    const struct js *answer = world_admin(w, "{\"cmd\":\"audit.list\",\"limit\":5}");
    after = world_str(w, answer, "next");
    answer = world_admin(w, world_text(w, "{\"cmd\":\"audit.list\",\"after\":\"%s\"}", after));
    assert_int_equal(js_size(js_get(answer, "entries")), 2);
}

static void resource_servers_are_shown_without_their_secrets(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = world_new();
    bool has_key = false;
    const struct js *answer =
        world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"key\":{\"kty\":\"oct\",\"kid\":\"mine\","
                       "\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}}");

    assert_null(js_get(answer, "key")); /* the operator brought it */
    assert_non_null(js_get(answer, "rs_secret"));
    answer = world_admin(w, "{\"cmd\":\"rs.show\",\"audience\":\"a\"}");
    assert_true(js_get_bool(js_get(answer, "rs"), "has_key", &has_key) && has_key);
    struct buf text;
    buf_init(&text, 65536);
    assert_int_equal(js_print(answer, &text), ST_OK);
    world_admin(w, "{\"cmd\":\"audit.list\"}");
    assert_int_equal(js_print(w->answer, &text), ST_OK);
    put_u8(&text, 0);
    assert_null(strstr((const char *)text.p, "AAECAwQF")); /* neither here nor in the audit */
    assert_non_null(strstr((const char *)text.p, "(secret)"));
    buf_done(&text);
    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"b\",\"introspect\":false}");
    assert_null(js_get(w->answer, "rs_secret"));
    assert_non_null(js_get(world_admin(w, "{\"cmd\":\"rs.rotate-key\",\"rs_id\":\"b\"}"), "key"));
    assert_non_null(js_get(world_admin(w, "{\"cmd\":\"rs.rotate-secret\",\"rs_id\":\"b\"}"), "rs_secret"));
    assert_int_equal(js_size(js_get(world_admin(w, "{\"cmd\":\"rs.list\"}"), "resource_servers")), 2);
    world_admin_refused(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\"}", "EXISTS");
    world_admin_refused(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"rs_id\":\"other\"}", "EXISTS");
    world_admin_refused(w, "{\"cmd\":\"client.add\",\"client_id\":\"a\"}", "EXISTS"); /* one name space */
    world_admin_refused(w, "{\"cmd\":\"client.show\",\"client_id\":\"a\"}", "NOT_FOUND");
    world_admin_refused(w, "{\"cmd\":\"client.remove\",\"client_id\":\"a\"}", "NOT_FOUND");
}

static void tokens_are_listed_and_revoked(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = world_new();
    int64_t revoked = 0;

    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"key\":\"generate\"}");
    world_admin(w, "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"a\",\"filter\":\"x\","
                   "\"permissions\":[\"pub\"]}");
    const char *secret =
        world_str(w, world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\"}"), "client_secret");
    for (int i = 0; i < 3; i++) {
        world_post(w, "/token", world_text(w, "client_id=c&client_secret=%s", secret));
        assert_int_equal(w->code, 200);
    }
    const struct js *answer = world_admin(w, "{\"cmd\":\"token.list\",\"client_id\":\"c\",\"limit\":2}");
    assert_int_equal(js_size(js_get(answer, "tokens")), 2);
    const char *jti = world_str(w, js_at(js_get(answer, "tokens"), 0), "jti");
    world_admin(w, world_text(w, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}", jti));
    world_admin_refused(w, world_text(w, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}", jti), "NOT_FOUND");
    answer = world_admin(w, "{\"cmd\":\"token.revoke\",\"client_id\":\"c\"}");
    assert_true(js_get_i64(answer, "tokens_revoked", &revoked) && revoked == 2);
    answer = world_admin(w, "{\"cmd\":\"token.list\",\"audience\":\"a\"}");
    assert_non_null(js_get(js_at(js_get(answer, "tokens"), 2), "revoked_at"));
    world_pass(w, 3600);
    assert_int_equal(js_size(js_get(world_admin(w, "{\"cmd\":\"token.list\"}"), "tokens")), 0);
}

static void every_change_is_in_the_chain(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = world_new();
    int64_t entries = 0;

    world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\"}");
    world_admin(w, "{\"cmd\":\"client.set\",\"client_id\":\"c\",\"name\":\"Pump\"}");
    world_admin(w, "{\"cmd\":\"client.list\"}"); /* changes nothing */
    world_admin_refused(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\"}", "EXISTS");
    world_admin(w, "{\"cmd\":\"client.remove\",\"client_id\":\"c\"}");
    assert_true(js_get_i64(world_admin(w, "{\"cmd\":\"audit.verify\"}"), "entries", &entries));
    assert_int_equal(entries, 3);
    const struct js *second = js_at(js_get(world_admin(w, "{\"cmd\":\"audit.list\"}"), "entries"), 1);
    assert_string_equal(world_str(w, second, "event"), "client.set");
    assert_string_equal(world_str(w, second, "actor"), "uid:0");
    assert_string_equal(world_str(w, second, "subject"), "c");
    assert_string_equal(world_str(w, second, "detail"), "{\"client_id\":\"c\",\"name\":\"Pump\"}");
}

static void the_chain_shows_what_was_tampered_with(void **state UNUSED)
{
    static const char *const tamperings[] = {
        "UPDATE audit SET detail = '{}' WHERE seq = 2",
        "UPDATE audit SET at = at + 1 WHERE seq = 2",
        "UPDATE audit SET actor = 'uid:1', event = 'client.ad', subject = 'd' WHERE seq = 2",
        "UPDATE audit SET hash = zeroblob(32) WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
    };

    for (size_t i = 0; i < COUNT_OF(tamperings); i++) {
        CLEANUP(world_freep)
        struct world *w = world_new();
        struct audit_head head;
        struct why why;

        for (int n = 0; n < 4; n++)
            world_admin(w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"c%d\"}", n));
        /* through the front door it is not possible at all */
        assert_int_equal(sql_run(w->sql, tamperings[i], NULL, NULL), ST_IO);
        assert_int_equal(audit_verify(w->sql, &head, &why), ST_OK);
        assert_int_equal(sql_run(w->sql, "DROP TRIGGER audit_no_update", NULL, NULL), ST_OK);
        assert_int_equal(sql_run(w->sql, "DROP TRIGGER audit_no_delete", NULL, NULL), ST_OK);
        assert_int_equal(sql_run(w->sql, tamperings[i], NULL, NULL), ST_OK);
        assert_int_equal(audit_verify(w->sql, &head, &why), ST_INTERNAL);
        assert_int_equal(why.at, 2);
        world_admin_refused(w, "{\"cmd\":\"audit.verify\"}", "INTERNAL");
    }
}

static void a_change_that_fails_anywhere_is_not_made_at_all(void **state UNUSED)
{
    static const char deny[] =
        "{\"cmd\":\"policy.deny\",\"subject\":\"any\",\"audience\":\"a\",\"filter\":\"x\","
        "\"permissions\":[\"sub\"]}";
    static const char *const lines[] = {
        "{\"cmd\":\"client.add\",\"client_id\":\"new\",\"groups\":[\"g\",\"h\"]}",
        "{\"cmd\":\"client.remove\",\"client_id\":\"c\"}",
        "{\"cmd\":\"client.set\",\"client_id\":\"c\",\"groups\":[\"z\"]}",
        "{\"cmd\":\"rs.add\",\"audience\":\"new\",\"key\":\"generate\"}",
        "{\"cmd\":\"rs.remove\",\"rs_id\":\"a\"}",
        deny,
        "{\"cmd\":\"enroll.create\"}",
    };

    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        CLEANUP(world_freep)
        struct world *w = world_new();
        CLEANUP(js_unrefp)
        struct js *before = NULL;
        unsigned n = 1;

        world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\"}");
        world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"groups\":[\"g\"]}");
        before = js_ref(world_admin(w, "{\"cmd\":\"status\"}"));
        for (;; n++) {
            bool ok = true;
            struct buf out;
            buf_init(&out, AS_ADMIN_REPLY_MAX);
            sql_fail_at(w->sql, n);
            as_admin(w->as, span_of_str(lines[i]), SPAN("uid:0"), w->now, &out);
            sql_fail_at(w->sql, 0);
            ok = span_starts_with(buf_span(&out), SPAN("{\"ok\":true"));
            buf_done(&out);
            if (ok)
                break;
            w->now.mono.ms += 60000; /* it is tried again, and works */
            assert_true(js_same(before, world_admin(w, "{\"cmd\":\"status\"}")));
            assert_true(n < 100);
        }
        assert_true(n > 3);
        assert_false(js_same(before, world_admin(w, "{\"cmd\":\"status\"}")));
        world_admin(w, "{\"cmd\":\"audit.verify\"}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_are_no_commands_are_refused),
        cmocka_unit_test(lists_go_on_where_they_stopped),
        cmocka_unit_test(resource_servers_are_shown_without_their_secrets),
        cmocka_unit_test(tokens_are_listed_and_revoked),
        cmocka_unit_test(every_change_is_in_the_chain),
        cmocka_unit_test(the_chain_shows_what_was_tampered_with),
        cmocka_unit_test(a_change_that_fails_anywhere_is_not_made_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
