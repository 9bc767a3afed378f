/* Claims as other servers write them: the shapes are those of their documentation - Keycloak's access tokens, Hydra's
 * JWT strategy, the acl claim of EMQX in both its forms. */
#include "token/claim_rules.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the two above first */
#include <cmocka.h>

#define KEYCLOAK                                                                                             \
    "{\"exp\":1673171296,\"iat\":1673170996,\"jti\":\"d58f5dc8-fd8f-462b-8a19-716f8f83985b\","               \
    "\"iss\":\"https://sso.example/realms/plant\",\"aud\":[\"broker.example\",\"account\"],"                 \
    "\"sub\":\"36fa0f91-f94d-4a0c-afed-6b7d952e47da\",\"typ\":\"Bearer\",\"azp\":\"press-7\",\"acr\":\"1\"," \
    "\"realm_access\":{\"roles\":[\"offline_access\",\"uma_authorization\"]},"                               \
    "\"resource_access\":{\"account\":{\"roles\":[\"view-profile\"]}},\"scope\":\"email profile\","          \
    "\"preferred_username\":\"press-7\",\"cnf\":{\"x5t#S256\":\"Y3Rs\"},"                                    \
    "\"mqtt\":[[\"plant/press-7/#\",[\"pub\"]],[\"plant/all\",[\"sub\"]]]}"
#define HYDRA                                                                                                \
    "{\"aud\":[],\"client_id\":\"press-7\",\"exp\":1673171296,\"ext\":{\"m/q~t\":\"W1siYSIsWyJwdWIiXV1d\"}," \
    "\"iat\":1673170996,\"iss\":\"https://hydra.example\",\"jti\":\"a\",\"nbf\":1673170996,\"scp\":[\"x\"]," \
    "\"sub\":\"press-7\"}"

static struct js *parse(const char *text)
{
    struct js *js = NULL;
    assert_int_equal(js_parse(span_of_str(text), 65536, &js, NULL), ST_OK);
    return js;
}

static void assert_scope(const struct claim_rules *rules, const char *claims, const char *expected)
{
    CLEANUP(js_unrefp)
    struct js *js = parse(claims);
    CLEANUP(js_unrefp)
    struct js *want = parse(expected);
    CLEANUP(scope_unrefp)
    struct scope *scope = NULL;
    CLEANUP(scope_unrefp)
    struct scope *expect = NULL;
    struct why why = { "", "", 0 };

    if (claim_rules_scope(rules, js, &scope, &why) != ST_OK)
        fail_msg("%s: refused: %s", claims, why.text);
    assert_int_equal(scope_from_json(want, &expect, NULL), ST_OK);
    if (!scope_same(scope, expect))
        fail_msg("%s: another scope than %s", claims, expected);
}

static void assert_no_scope(const struct claim_rules *rules, const char *claims)
{
    CLEANUP(js_unrefp)
    struct js *js = parse(claims);
    struct scope *scope = NULL;
    struct why why = { NULL, NULL, 0 };

    if (claim_rules_scope(rules, js, &scope, &why) != ST_BAD_SCOPE)
        fail_msg("%s: not refused", claims);
    assert_null(scope);
    assert_non_null(why.text);
}

/* -- where claims stand --- */

static void a_scope_is_found_under_the_name_configured(void **state)
{
    const struct claim_rules keycloak = { .scope = (char[]){ "mqtt" } };
    const struct claim_rules hydra = { .scope = (char[]){ "/ext/m~1q~0t" } };

    (void)state;
    assert_scope(&keycloak, KEYCLOAK, "[[\"plant/press-7/#\",[\"pub\"]],[\"plant/all\",[\"sub\"]]]");
    assert_scope(&hydra, HYDRA, "[[\"a\",[\"pub\"]]]"); /* base64url, as RFC 9431 has it */
    assert_scope(&hydra, "{\"ext\":{\"m/q~t\":\"[[\\\"a\\\",[\\\"sub\\\"]]]\"}}", "[[\"a\",[\"sub\"]]]");
}

static void names_of_roles_and_scopes_are_no_topics(void **state) /* MT-87 */
{
    const struct claim_rules none = { 0 };
    const struct claim_rules roles = { .scope = (char[]){ "/realm_access/roles" } };

    (void)state;
    assert_no_scope(NULL, KEYCLOAK); /* "email profile" */
    assert_no_scope(&none, KEYCLOAK);
    assert_no_scope(&roles, KEYCLOAK);
}

static void a_claim_that_is_not_there_permits_nothing(void **state) /* MT-83 */
{
    static const char *const nowhere[] = { "absent", "/", "/ext", "/mqtt/0", "/azp/x", "/m~2", "/m~", "" };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(nowhere); i++) {
        const struct claim_rules rules = { .scope = (char *)(uintptr_t)nowhere[i] };
        assert_scope(&rules, KEYCLOAK, "[]");
    }
    assert_scope(NULL, "{}", "[]");
}

static void a_pointer_longer_than_any_name_finds_nothing(void **state)
{
    char longest[1000];
    CLEANUP(js_unrefp)
    struct js *js = parse(KEYCLOAK);

    (void)state;
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_null(claim_rules_find(js, longest, NULL));
}

/* -- what kind of token --- */

static void typ_headers_may_be_added_but_none_by_default(void **state) /* TK-24 */
{
    char *items[] = { (char[]){ "dpop+jwt" }, (char[]){ "vnd.plant+jwt" } };
    const struct claim_rules rules = { .types = { items, 2 } };

    (void)state;
    assert_true(claim_rules_take_type(&rules, SPAN("VND.plant+JWT")));
    assert_true(claim_rules_take_type(&rules, SPAN("application/vnd.plant+jwt")));
    assert_false(claim_rules_take_type(&rules, SPAN("logout+jwt")));
    assert_false(claim_rules_take_type(NULL, SPAN("vnd.plant+jwt")));
    assert_false(claim_rules_take_type(&(struct claim_rules){ 0 }, SPAN("vnd.plant+jwt")));
}

static void id_and_refresh_tokens_of_keycloak_are_no_access_tokens(void **state) /* TK-24 */
{
    static const char *const bad[] = { "{\"typ\":\"ID\"}", "{\"typ\":\"Refresh\"}", "{\"typ\":\"Offline\"}",
                                       "{\"typ\":\"Logout\"}", "{\"typ\":\"\"}" };
    static const char *const good[] = { KEYCLOAK, HYDRA, "{\"typ\":\"DPoP\"}", "{\"typ\":\"bearer\"}" };
    const struct claim_rules rules = { 0 };
    struct why why = { NULL, NULL, 0 };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        CLEANUP(js_unrefp)
        struct js *js = parse(bad[i]);
        assert_int_equal(claim_rules_check_use(&rules, js, &why), ST_BAD_TOKEN);
        assert_int_equal(claim_rules_check_use(NULL, js, &why), ST_OK); /* ACE knows no such claim */
    }
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        CLEANUP(js_unrefp)
        struct js *js = parse(good[i]);
        assert_int_equal(claim_rules_check_use(&rules, js, &why), ST_OK);
    }
}

/* -- the ACL of EMQX --- */

static const struct claim_rules emqx = { .scope = (char[]){ "acl" },
                                         .scope_form = CLAIM_FORM_ACL,
                                         .client_id = (char[]){ "azp" },
                                         .username = (char[]){ "username" } };

static void the_lists_of_an_acl_become_a_scope(void **state)
{
    (void)state;
    assert_scope(
        &emqx,
        "{\"username\":\"emqx_u\",\"azp\":\"emqx_c\",\"acl\":{\"pub\":[\"testpub1/${username}\",\"testpub2/"
        "${clientid}\"],\"sub\":[\"testsub1/${username}\",\"testsub2/${clientid}\",\"testsub2/#\"],\"all\":["
        "\"testall1/${username}\",\"testall3/#\"]}}",
        "[[\"testpub1/emqx_u\",[\"pub\"]],[\"testpub2/emqx_c\",[\"pub\"]],[\"testsub1/emqx_u\",[\"sub\"]],"
        "[\"testsub2/emqx_c\",[\"sub\"]],[\"testsub2/#\",[\"sub\"]],[\"testall1/emqx_u\",[\"pub\",\"sub\"]],"
        "[\"testall3/#\",[\"pub\",\"sub\"]]]");
    assert_scope(&emqx, "{\"acl\":{\"pub\":[\"a\"],\"sub\":[\"a\"]}}", "[[\"a\",[\"pub\",\"sub\"]]]");
    assert_scope(&emqx, "{\"acl\":{}}", "[]");
}

#define RULE(permission, action, topic) \
    "{\"permission\":\"" permission "\",\"action\":\"" action "\",\"topic\":\"" topic "\"}"
#define ACL(rules) "{\"azp\":\"emqx_c\",\"username\":\"u\",\"acl\":[" rules "]}"

static void the_rules_of_an_acl_become_a_scope(void **state)
{
    (void)state;
    assert_scope(&emqx,
                 ACL(RULE("allow", "publish", "t/${clientid}") "," RULE("allow", "subscribe", "eq t/1/#")),
                 "[[\"t/emqx_c\",[\"pub\"]],[\"t/1/#\",[\"sub\"]]]");
    assert_scope(&emqx, ACL(RULE("allow", "all", "eq t/1/#") "," RULE("allow", "pub", "eq x/+")),
                 "[[\"t/1/#\",[\"sub\"]]]"); /* nobody publishes to a topic called t/1/# */
    assert_scope(&emqx, ACL(RULE("allow", "all", "eq t/1")), "[[\"t/1\",[\"pub\",\"sub\"]]]");
    assert_scope(&emqx,
                 ACL("{\"permission\":\"allow\",\"action\":\"sub\",\"topics\":[\"a\",\"b\"],\"qos\":[0,1,2]}"),
                 "[[\"a\",[\"sub\"]],[\"b\",[\"sub\"]]]");
    assert_scope(&emqx, "{\"acl\":[]}", "[]");
}

/* The first rule that matches decides, and a scope has no denials: so a denial may only follow. */
static void denials_are_kept_or_the_token_is_refused(void **state) /* MT-87 */
{
    (void)state;
    assert_scope(&emqx, ACL(RULE("allow", "all", "t/#") "," RULE("deny", "all", "#")),
                 "[[\"t/#\",[\"pub\",\"sub\"]]]");
    assert_scope(&emqx, ACL(RULE("deny", "publish", "t/#") "," RULE("allow", "subscribe", "t/#")),
                 "[[\"t/#\",[\"sub\"]]]");
    assert_scope(&emqx, ACL(RULE("deny", "all", "x/#") "," RULE("allow", "all", "t/#")),
                 "[[\"t/#\",[\"pub\",\"sub\"]]]");
    assert_no_scope(&emqx, ACL(RULE("deny", "all", "t/3") "," RULE("allow", "all", "t/#")));
    assert_no_scope(&emqx, ACL(RULE("deny", "all", "+/3") "," RULE("allow", "publish", "t/+")));
    assert_no_scope(&emqx, ACL(RULE("deny", "publish", "#") "," RULE("allow", "all", "t")));
    assert_no_scope(
        &emqx, ACL("{\"permission\":\"deny\",\"action\":\"publish\",\"topic\":\"t/2\",\"retain\":true}," RULE(
                   "allow", "publish", "t/#")));
}

static void what_a_scope_cannot_say_is_not_granted(void **state) /* MT-87 */
{
    static const char *const bad[] = {
        ACL("{\"permission\":\"allow\",\"action\":\"subscribe\",\"topic\":\"t\",\"qos\":[1]}"),
        ACL("{\"permission\":\"allow\",\"action\":\"subscribe\",\"topic\":\"t\",\"qos\":1}"),
        ACL("{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"t\",\"retain\":false}"),
        ACL("{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"t\",\"ipaddr\":\"192.168.5.0/24\"}"),
        ACL("{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"t\",\"clientid_re\":\"^x\"}"),
        ACL("{\"permission\":\"maybe\",\"action\":\"publish\",\"topic\":\"t\"}"),
        ACL("{\"permission\":\"allow\",\"action\":\"write\",\"topic\":\"t\"}"),
        ACL("{\"permission\":\"allow\",\"topic\":\"t\"}"),
        ACL("{\"action\":\"pub\",\"topic\":\"t\"}"),
        ACL("{\"permission\":\"allow\",\"action\":\"pub\"}"),
        ACL("{\"permission\":\"allow\",\"action\":\"pub\",\"topic\":\"t\",\"topics\":[\"u\"]}"),
        ACL("{\"permission\":\"allow\",\"action\":\"pub\",\"topic\":7}"),
        ACL("{\"permission\":\"allow\",\"action\":\"pub\",\"topics\":[7]}"),
        ACL("[\"allow\"]"),
        "{\"acl\":\"#\"}",
        "{\"acl\":{\"publish\":[\"a\"]}}",
        "{\"acl\":{\"pub\":\"a\"}}",
        "{\"acl\":{\"pub\":[[\"a\"]]}}",
        "{\"acl\":{\"pub\":[\"a/#/b\"]}}",
        "{\"acl\":{\"pub\":[\"\"]}}",
        "{\"acl\":{\"sub\":[\"$share/g/a\"]}}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_no_scope(&emqx, bad[i]);
}

/* A user called "#" must not get everything. */
static void placeholders_stand_for_one_level_or_less(void **state) /* MT-60, MT-87 */
{
    static const char *const bad[] = {
        "{\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":7,\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":\"\",\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":\"#\",\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":\"+\",\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":\"b/c\",\"acl\":{\"pub\":[\"a/${clientid}\"]}}",
        "{\"azp\":\"c\",\"acl\":{\"pub\":[\"a/${clientid\"]}}",
        "{\"azp\":\"c\",\"acl\":{\"pub\":[\"a/${}\"]}}",
        "{\"azp\":\"c\",\"acl\":{\"pub\":[\"a/${client_attrs.x}\"]}}",
        "{\"azp\":\"c\",\"acl\":{\"pub\":[\"a/%c\"]}}",
        "{\"azp\":\"c\",\"acl\":{\"pub\":[\"%u/a\"]}}",
    };
    struct claim_rules no_username = emqx;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_no_scope(&emqx, bad[i]);
    no_username.username = NULL;
    assert_no_scope(&no_username, "{\"username\":\"u\",\"acl\":{\"pub\":[\"a/${username}\"]}}");
    assert_scope(&emqx, "{\"azp\":\"c\",\"acl\":{\"pub\":[\"a/x${clientid}y${clientid}/$\",\"100%c\"]}}",
                 "[[\"a/xcyc/$\",[\"pub\"]],[\"100%c\",[\"pub\"]]]");
}

static void an_acl_has_no_more_entries_than_a_scope(void **state)
{
    CLEANUP(buf_done)
    struct buf text;

    (void)state;
    buf_init(&text, 65536);
    put_str(&text, "{\"acl\":{\"pub\":[");
    for (int i = 0; i <= SCOPE_MAX_PAIRS; i++)
        put_fmt(&text, "%s\"t/%d\"", i == 0 ? "" : ",", i);
    put_str(&text, "]}}");
    put_u8(&text, 0);
    assert_true(buf_ok(&text));
    assert_no_scope(&emqx, (const char *)text.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_is_found_under_the_name_configured),
        cmocka_unit_test(names_of_roles_and_scopes_are_no_topics),
        cmocka_unit_test(a_claim_that_is_not_there_permits_nothing),
        cmocka_unit_test(a_pointer_longer_than_any_name_finds_nothing),
        cmocka_unit_test(typ_headers_may_be_added_but_none_by_default),
        cmocka_unit_test(id_and_refresh_tokens_of_keycloak_are_no_access_tokens),
        cmocka_unit_test(the_lists_of_an_acl_become_a_scope),
        cmocka_unit_test(the_rules_of_an_acl_become_a_scope),
        cmocka_unit_test(denials_are_kept_or_the_token_is_refused),
        cmocka_unit_test(what_a_scope_cannot_say_is_not_granted),
        cmocka_unit_test(placeholders_stand_for_one_level_or_less),
        cmocka_unit_test(an_acl_has_no_more_entries_than_a_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
