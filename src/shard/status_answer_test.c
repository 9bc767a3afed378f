/* RFC 9770's answers in JSON, the examples' shapes and what is wrong with others. */
#include "shard/status_answer.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka wants the two above first */
#include <cmocka.h>

/* 01 and 32 times 01, 02, 03; the third with 64 bytes under another function's number */
#define ONE   "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
#define TWO   "AQICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"
#define THREE "AQMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"
#define OTHER "BwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"

static void assert_hashes(const struct buf *hashes, const char *bytes)
{
    assert_int_equal(status_answer_count(hashes), strlen(bytes));
    for (size_t i = 0; i < strlen(bytes); i++)
        for (size_t k = 0; k < TOKEN_HASH_LEN; k++)
            assert_int_equal(hashes->p[i * TOKEN_HASH_LEN + k], bytes[i]);
}

static void a_full_answer_lists_what_is_revoked(void **state) /* RFC 9770 7 */
{
    struct status_answer a;

    (void)state;
    assert_int_equal(
        status_answer_parse(SPAN("{\"full_set\":[\"" ONE "\",\"" TWO "\"],\"cursor\":41}"), &a, NULL), ST_OK);
    assert_true(a.full);
    assert_hashes(&a.revoked, "\1\2");
    assert_true(a.has_cursor);
    assert_int_equal(a.cursor, 41);
    status_answer_done(&a);
    assert_int_equal(status_answer_parse(SPAN("{\"full_set\":[],\"cursor\":null}"), &a, NULL), ST_OK);
    assert_false(a.has_cursor);
    assert_int_equal(a.revoked.len, 0);
    status_answer_done(&a);
}

static void differences_are_taken_in_the_order_in_which_they_happened(void **state) /* RFC 9770 8 */
{
    struct status_answer a;

    (void)state;
    assert_int_equal(status_answer_parse(SPAN("{\"diff_set\":[[[],[\"" ONE "\"]],[[\"" THREE "\"],[\"" TWO
                                              "\"]]],\"cursor\":7,\"more\":true,\"changed\":[\"" THREE "\"]}"),
                                         &a, NULL),
                     ST_OK);
    assert_false(a.full);
    assert_hashes(&a.revoked, "\2\1");
    assert_hashes(&a.removed, "\3");
    assert_hashes(&a.changed, "\3");
    assert_true(a.more);
    status_answer_done(&a);
}

static void a_hash_of_another_function_is_none_of_ours(void **state) /* RFC 6920 9.4 */
{
    struct status_answer a;

    (void)state;
    assert_int_equal(status_answer_parse(SPAN("{\"full_set\":[\"" OTHER "\",\"" ONE "\"]}"), &a, NULL), ST_OK);
    assert_hashes(&a.revoked, "\1");
    status_answer_done(&a);
}

/* Half a list of revoked tokens is not one. */
static void an_answer_that_is_wrong_anywhere_is_worth_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"cursor\":1}",
        "{\"full_set\":[],\"diff_set\":[]}",
        "{\"full_set\":{}}",
        "{\"full_set\":\"" ONE "\"}",
        "{\"full_set\":[7]}",
        "{\"full_set\":[\"" ONE "=\"]}",
        "{\"full_set\":[\"\"]}",
        "{\"full_set\":[\"AQEB\"]}",
        "{\"full_set\":[],\"cursor\":\"1\"}",
        "{\"full_set\":[],\"cursor\":-1}",
        "{\"full_set\":[],\"cursor\":1.5}",
        "{\"full_set\":[],\"cursor\":1,\"more\":\"no\"}",
        "{\"full_set\":[],\"changed\":\"" ONE "\"}",
        "{\"full_set\":[],\"full_set\":[]}",
        "{\"diff_set\":[[]],\"cursor\":1}",
        "{\"diff_set\":[[[],[],[]]],\"cursor\":1}",
        "{\"diff_set\":[\"" ONE "\"],\"cursor\":1}",
        "{\"diff_set\":[[[],[\"" ONE "\"]],[[]]],\"cursor\":1}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct status_answer a;
        struct why why = { NULL, NULL, 0 };
        if (status_answer_parse(span_of_str(bad[i]), &a, &why) != ST_MALFORMED)
            fail_msg("taken: %s", bad[i]);
        assert_non_null(why.text);
        status_answer_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_answer_lists_what_is_revoked),
        cmocka_unit_test(differences_are_taken_in_the_order_in_which_they_happened),
        cmocka_unit_test(a_hash_of_another_function_is_none_of_ours),
        cmocka_unit_test(an_answer_that_is_wrong_anywhere_is_worth_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
