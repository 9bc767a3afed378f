/* Who gets what: allow, deny, ${client_id}, groups, narrowing (docs/decisions/0004). */
#include "as/world_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
/* cmocka wants those above first */
#include <cmocka.h>

static struct world *with_clients(void)
{
    struct world *w = world_new();

    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"broker\",\"key\":\"generate\"}");
    world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"other\",\"key\":\"generate\"}");
    world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c1\",\"groups\":[\"sensors\",\"east\"]}");
    world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c2\"}");
    return w;
}

static int64_t rule(struct world *w, const char *effect, const char *subject, const char *filter,
                    const char *perms)
{
    int64_t id = 0;
    const struct js *answer = world_admin(
        w, world_text(w,
                      "{\"cmd\":\"policy.%s\",\"subject\":\"%s\",\"audience\":\"broker\",\"filter\":\"%s\","
                      "\"permissions\":[%s]}",
                      effect, subject, filter, perms));
    assert_true(js_get_i64(js_get(answer, "policy"), "id", &id));
    return id;
}

static void expect(struct world *w, const char *client, const char *scope, const char *granted)
{
    CLEANUP(js_unrefp)
    struct js *want = NULL;
    const struct js *answer = world_admin(
        w, world_text(w, "{\"cmd\":\"policy.test\",\"client_id\":\"%s\",\"audience\":\"broker\"%s%s}", client,
                      scope != NULL ? ",\"scope\":" : "", scope != NULL ? scope : ""));

    assert_int_equal(js_parse(span_of_str(granted), 4096, &want, NULL), ST_OK);
    if (!js_same(js_get(answer, "granted"), want)) {
        struct buf got;
        buf_init(&got, 65536);
        (void)!js_print(js_get(answer, "granted"), &got);
        fail_msg("granted %.*s, not %s", SPAN_FMT(buf_span(&got)), granted);
    }
}

static void without_a_rule_nothing_is_granted(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    expect(w, "c1", NULL, "[]");
    expect(w, "c1", "[[\"a\",[\"pub\"]]]", "[]");
}

static void rules_of_client_group_and_anybody_add_up(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "client:c1", "a", "\"pub\"");
    rule(w, "allow", "group:east", "b/#", "\"sub\"");
    rule(w, "allow", "any", "c/+", "\"pub\",\"sub\"");
    rule(w, "allow", "group:west", "d", "\"pub\"");
    expect(w, "c1", NULL, "[[\"a\",[\"pub\"]],[\"b/#\",[\"sub\"]],[\"c/+\",[\"pub\",\"sub\"]]]");
    expect(w, "c2", NULL, "[[\"c/+\",[\"pub\",\"sub\"]]]");
}

static void a_rule_holds_for_its_audience_only(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "a", "\"pub\"");
    const struct js *answer =
        world_admin(w, "{\"cmd\":\"policy.test\",\"client_id\":\"c1\",\"audience\":\"other\"}");
    assert_int_equal(js_size(js_get(answer, "granted")), 0);
}

static void the_scope_is_narrowed_to_what_was_asked(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "plant/#", "\"pub\",\"sub\"");
    expect(w, "c1", "[[\"plant/a\",[\"pub\"]],[\"x\",[\"pub\"]]]", "[[\"plant/a\",[\"pub\"]]]");
    expect(w, "c1", "[[\"#\",[\"sub\"]]]", "[[\"plant/#\",[\"sub\"]]]");
    expect(w, "c1", "[[\"+/a\",[\"pub\",\"sub\"]]]", "[[\"plant/a\",[\"pub\",\"sub\"]]]");
    expect(w, "c1", "[]", "[]"); /* MT-83 */
}

static void client_id_stands_in_a_filter(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "group:sensors", "s/${client_id}/#", "\"pub\"");
    rule(w, "allow", "any", "dev-${client_id}/in", "\"sub\"");
    expect(w, "c1", NULL, "[[\"s/c1/#\",[\"pub\"]],[\"dev-c1/in\",[\"sub\"]]]");
    expect(w, "c1", "[[\"s/c2/x\",[\"pub\"]]]", "[]");
    expect(w, "c2", NULL, "[[\"dev-c2/in\",[\"sub\"]]]");
}

static void a_client_id_cannot_leave_its_place_in_a_filter(void **state UNUSED)
{
    static const char *const names[] = { "#",    "+",   "a/b", "a/#",     "a+b",   "${client_id}",
                                         "$SYS", "a b", "",    "\\u00e4", "a\\nb", "a\\\"b" };
    CLEANUP(world_freep)
    struct world *w = with_clients();

    for (size_t i = 0; i < COUNT_OF(names); i++)
        world_admin_refused(w, world_text(w, "{\"cmd\":\"client.add\",\"client_id\":\"%s\"}", names[i]),
                            "BAD_CLIENT_ID");
    world_admin_refused(w, "{\"cmd\":\"client.set\",\"client_id\":\"c1\",\"groups\":[\"a/b\"]}",
                        "BAD_CLIENT_ID");
    world_admin_refused(w, "{\"cmd\":\"enroll.create\",\"client_id\":\"a/#\"}", "BAD_CLIENT_ID");
}

static void a_deny_removes_what_it_touches(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "plant/#", "\"pub\",\"sub\"");
    rule(w, "allow", "any", "office/a", "\"sub\"");
    int64_t id = rule(w, "deny", "client:c1", "plant/secret/#", "\"sub\"");
    /* partial overlap: the whole entry goes, for that permission, and for that client */
    expect(w, "c1", NULL, "[[\"plant/#\",[\"pub\"]],[\"office/a\",[\"sub\"]]]");
    expect(w, "c2", NULL, "[[\"plant/#\",[\"pub\",\"sub\"]],[\"office/a\",[\"sub\"]]]");
    /* asked for more narrowly, what the deny does not touch is there */
    expect(w, "c1", "[[\"plant/a\",[\"sub\"]]]", "[[\"plant/a\",[\"sub\"]]]");
    expect(w, "c1", "[[\"plant/secret/x\",[\"sub\"]]]", "[]");
    expect(w, "c1", "[[\"plant/+\",[\"sub\"]]]", "[]"); /* plant/secret itself is within secret/# */
    expect(w, "c1", "[[\"plant/+/x\",[\"sub\"]]]", "[]");

    const struct js *answer =
        world_admin(w, "{\"cmd\":\"policy.test\",\"client_id\":\"c1\",\"audience\":\"broker\","
                       "\"scope\":[[\"plant/secret/x\",[\"pub\",\"sub\"]],[\"no\",[\"pub\"]]]}");
    const struct js *refused = js_get(answer, "refused");
    int64_t by = 0;
    assert_int_equal(js_size(refused), 2);
    assert_string_equal(world_str(w, js_at(refused, 0), "reason"), "denied");
    assert_string_equal(world_str(w, js_at(refused, 0), "permission"), "sub");
    assert_true(js_get_i64(js_at(refused, 0), "policy", &by) && by == id);
    assert_string_equal(world_str(w, js_at(refused, 1), "reason"), "no allow");
}

static void a_deny_through_client_id_and_group_counts(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "s/#", "\"sub\"");
    rule(w, "deny", "group:sensors", "s/${client_id}", "\"sub\"");
    expect(w, "c1", NULL, "[]");
    expect(w, "c1", "[[\"s/c2\",[\"sub\"]]]", "[[\"s/c2\",[\"sub\"]]]");
    expect(w, "c2", NULL, "[[\"s/#\",[\"sub\"]]]");
}

static void wildcards_do_not_grant_dollar_topics(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "#", "\"sub\"");
    expect(w, "c1", "[[\"$SYS/broker\",[\"sub\"]]]", "[]"); /* MQTT5 [MQTT-4.7.2-1] */
    rule(w, "allow", "any", "$SYS/#", "\"sub\"");
    expect(w, "c1", "[[\"$SYS/broker\",[\"sub\"]]]", "[[\"$SYS/broker\",[\"sub\"]]]");
}

static void overlapping_allows_leave_the_wider_entry(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();

    rule(w, "allow", "any", "a/b", "\"pub\",\"sub\"");
    rule(w, "allow", "any", "a/#", "\"pub\"");
    expect(w, "c1", NULL, "[[\"a/b\",[\"sub\"]],[\"a/#\",[\"pub\"]]]");
}

static void rules_that_make_no_sense_are_refused(void **state UNUSED)
{
    static const struct {
        const char *members, *error;
    } rows[] = {
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"a#\",\"permissions\":[\"pub\"]",
          "BAD_FILTER" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"\",\"permissions\":[\"pub\"]",
          "BAD_FILTER" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"+${client_id}\",\"permissions\":[\"pub\"]",
          "BAD_FILTER" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"a/${user}\",\"permissions\":[\"pub\"]",
          "BAD_FILTER" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"$share/g/a\",\"permissions\":[\"sub\"]",
          "BAD_FILTER" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"a\",\"permissions\":[]", "MALFORMED" },
        { "\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"a\",\"permissions\":[\"write\"]",
          "MALFORMED" },
        { "\"subject\":\"c1\",\"audience\":\"broker\",\"filter\":\"a\",\"permissions\":[\"pub\"]",
          "MALFORMED" },
        { "\"subject\":\"client:nobody\",\"audience\":\"broker\",\"filter\":\"a\",\"permissions\":[\"pub\"]",
          "NOT_FOUND" },
        { "\"subject\":\"any\",\"audience\":\"nowhere\",\"filter\":\"a\",\"permissions\":[\"pub\"]",
          "NOT_FOUND" },
    };
    CLEANUP(world_freep)
    struct world *w = with_clients();

    for (size_t i = 0; i < COUNT_OF(rows); i++)
        world_admin_refused(w, world_text(w, "{\"cmd\":\"policy.allow\",%s}", rows[i].members), rows[i].error);
    rule(w, "allow", "any", "a", "\"pub\"");
    world_admin_refused(
        w,
        "{\"cmd\":\"policy.allow\",\"subject\":\"any\",\"audience\":\"broker\",\"filter\":\"a\","
        "\"permissions\":[\"pub\"]}",
        "EXISTS");
}

static void removed_rules_and_clients_no_longer_count(void **state UNUSED)
{
    CLEANUP(world_freep)
    struct world *w = with_clients();
    int64_t id = rule(w, "allow", "any", "a", "\"pub\"");

    rule(w, "allow", "client:c1", "b", "\"pub\"");
    world_admin(w, world_text(w, "{\"cmd\":\"policy.remove\",\"id\":%lld}", (long long)id));
    world_admin_refused(w, world_text(w, "{\"cmd\":\"policy.remove\",\"id\":%lld}", (long long)id),
                        "NOT_FOUND");
    expect(w, "c1", NULL, "[[\"b\",[\"pub\"]]]");
    /* a later client of the same name does not inherit */
    world_admin(w, "{\"cmd\":\"client.remove\",\"client_id\":\"c1\"}");
    world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c1\"}");
    expect(w, "c1", NULL, "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_rule_nothing_is_granted),
        cmocka_unit_test(rules_of_client_group_and_anybody_add_up),
        cmocka_unit_test(a_rule_holds_for_its_audience_only),
        cmocka_unit_test(the_scope_is_narrowed_to_what_was_asked),
        cmocka_unit_test(client_id_stands_in_a_filter),
        cmocka_unit_test(a_client_id_cannot_leave_its_place_in_a_filter),
        cmocka_unit_test(a_deny_removes_what_it_touches),
        cmocka_unit_test(a_deny_through_client_id_and_group_counts),
        cmocka_unit_test(wildcards_do_not_grant_dollar_topics),
        cmocka_unit_test(overlapping_allows_leave_the_wider_entry),
        cmocka_unit_test(rules_that_make_no_sense_are_refused),
        cmocka_unit_test(removed_rules_and_clients_no_longer_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
