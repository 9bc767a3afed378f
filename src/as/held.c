#include "as/held.h"

#include "base/list.h"

#include <stdlib.h>

struct held {
    struct loop *loop;
    struct as *as;
    held_send_fn *send;
    struct list answers;
    struct loop_hook hook;
};

struct held_answer {
    struct list link;
    struct http_later *later;
    struct as_response response;
};

static void answer_free(struct held_answer *a)
{
    list_remove(&a->link);
    as_response_done(&a->response);
    free(a);
}

static void on_gone(void *ctx)
{
    answer_free(ctx);
}

static void settle(struct held *held)
{
    enum status st = as_settle(held->as);

    LIST_EACH_SAFE (link, &held->answers) {
        struct held_answer *a = CONTAINER_OF(link, struct held_answer, link);
        as_response_settled(held->as, st, &a->response);
        held->send(&a->response, http_later_reply(a->later));
        http_later_send(a->later);
        answer_free(a);
    }
}

static bool on_turn_end(struct loop_hook *hook, struct now now UNUSED)
{
    settle(CONTAINER_OF(hook, struct held, hook));
    return false;
}

enum status held_new(struct loop *loop, struct as *as, held_send_fn *send, struct held **ret_held,
                     struct why *why)
{
    struct held *held = calloc(1, sizeof *held);

    if (held == NULL)
        return reject(why, ST_NO_MEMORY, "as server", "out of memory", 0);
    held->loop = loop;
    held->as = as;
    held->send = send;
    held->hook.turn_end = on_turn_end;
    list_init(&held->answers);
    loop_hook_add(loop, &held->hook);
    *ret_held = held;
    return ST_OK;
}

void held_free(struct held *held)
{
    if (held == NULL)
        return;
    settle(held);
    loop_hook_remove(&held->hook);
    free(held);
}

bool held_take(struct held *held, const struct http_request *request, struct as_response *response)
{
    struct held_answer *a = calloc(1, sizeof *a);

    if (a == NULL)
        return false;
    a->later = http_soon_new(request, on_gone, a);
    if (a->later == NULL) {
        free(a);
        return false;
    }
    a->response = *response;
    buf_init(&response->body, 0); /* moved */
    list_append(&held->answers, &a->link);
    loop_wake(held->loop); /* a request may come behind the hooks of its turn */
    return true;
}
