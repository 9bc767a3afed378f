/* Lines of the admin socket: whatever comes, there is one line of JSON back, and the audit chain holds. */
#include "as/admin_login.h"
#include "as/audit.h"
#include "as/world_test.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define INPUTS_PER_WORLD 256

/* As the first line of another user. */
static void try_login(struct span line)
{
    const struct span credential = SPAN("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    static struct admin_login login;

    if (!login.possible && admin_login_init(&login, credential, INT32_MAX, NULL) != ST_OK)
        abort();
    if (admin_login_try(&login, line, SPAN("uid:1"), (struct mono_time){ 0 }, NULL) == ST_OK &&
        line.len <= credential.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct world *w;
    static unsigned inputs;
    struct audit_head head;
    struct js *answer = NULL;
    struct buf out;
    bool ok;

    if (w == NULL || inputs++ % INPUTS_PER_WORLD == 0) {
        if (w != NULL)
            world_free(w);
        w = world_new();
        world_admin(w, "{\"cmd\":\"rs.add\",\"audience\":\"a\",\"key\":\"generate\"}");
        world_admin(w, "{\"cmd\":\"client.add\",\"client_id\":\"c\",\"groups\":[\"g\"]}");
    }
    try_login(span_of(data, len));
    buf_init(&out, AS_ADMIN_REPLY_MAX);
    as_admin(w->as, span_of(data, len), SPAN("uid:0"), w->now, &out);
    if (out.len < 2 || span_find(buf_span(&out), '\n', 0) != out.len - 1)
        abort();
    if (js_parse(span_cut(buf_span(&out), 0, out.len - 1), AS_ADMIN_REPLY_MAX, &answer, NULL) != ST_OK ||
        !js_get_bool(answer, "ok", &ok))
        abort();
    js_unref(answer);
    buf_done(&out);
    if (audit_verify(w->sql, &head, NULL) != ST_OK)
        abort();
    return 0;
}
