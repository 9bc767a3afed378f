/* The public calls of a client that runs; symbolon_client_new() and _free() are in client.c. */
#include "client/client_priv.h"

#include <stdlib.h>

enum symbolon_status symbolon_client_start(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->state != CLIENT_IDLE)
        return client_invalid(error, "", "the client is running already");
    c->pause_ms = c->failed_attempts = c->redirects = 0;
    client_enter(c, CLIENT_PAUSED); /* so that even the first failure comes from the loop */
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_client_fetch_token(struct symbolon_client *c, bool force,
                                                 struct symbolon_error *error)
{
    if (c->o.ace == SYMBOLON_ACE_OFF || c->token_fixed)
        return client_invalid(error, "", "this client does not fetch tokens");
    if (c->state != CLIENT_IDLE)
        return client_invalid(error, "", "the client is running already");
    if (force)
        client_drop_token(c);
    c->fetch_only = true;
    return symbolon_client_start(c, error);
}

enum symbolon_status symbolon_client_upload_token(struct symbolon_client *c, struct symbolon_error *error)
{
    if (c->o.ace == SYMBOLON_ACE_OFF)
        return client_invalid(error, "", "this client has no token");
    if (c->state != CLIENT_IDLE)
        return client_invalid(error, "", "the client is running already");
    c->upload_only = true;
    c->token_uploaded = false;
    return symbolon_client_start(c, error);
}

const struct symbolon_token *symbolon_client_token(struct symbolon_client *c)
{
    return client_token_usable(c) ? &c->token : NULL;
}

void symbolon_client_disconnect(struct symbolon_client *c, uint8_t reason_code)
{
    const struct symbolon_goodbye goodbye = { .reason_code = reason_code };

    if (symbolon_client_disconnect_with(c, &goodbye, NULL) == SYMBOLON_OK)
        return;
    const struct symbolon_goodbye normal = { 0 }; /* no such reason code */
    enum symbolon_status st = symbolon_client_disconnect_with(c, &normal, NULL);
    ASSERT(st == SYMBOLON_OK);
}

enum symbolon_status symbolon_client_disconnect_with(struct symbolon_client *c,
                                                     const struct symbolon_goodbye *goodbye,
                                                     struct symbolon_error *error)
{
    if (c->state == CLIENT_IDLE || c->state == CLIENT_CLOSING)
        return SYMBOLON_OK;
    bool has_session = (c->state == CLIENT_OPEN || c->state == CLIENT_CONNECTING) && c->stream != NULL;
    enum symbolon_status st = engine_disconnect_with(&c->engine, goodbye, client_now(c), error);
    if (st != SYMBOLON_OK)
        return st;
    client_stop_timers(c);
    client_stop_fetching(c);
    if (has_session) {
        client_enter(c, CLIENT_CLOSING);
        stream_close(c->stream); /* goes on in on_closed() */
        return SYMBOLON_OK;
    }
    client_drop_stream(c, false);
    client_enter(c, CLIENT_CLOSING);
    timer_start(loop_timers(c->loop->loop), &c->pause, client_now(c).mono);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_client_publish(struct symbolon_client *c, const struct symbolon_message *message,
                                             uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st = engine_publish(&c->engine, message, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_set_address(struct symbolon_client *c, const char *host, uint16_t port,
                                                 struct symbolon_error *error)
{
    char *copy = strdup(host);

    if (copy == NULL)
        return error_set(error, SYMBOLON_NO_MEMORY, "", "out of memory");
    free(c->other_host);
    c->o.host = c->other_host = copy;
    c->o.port = port != 0 ? port : client_default_port(&c->o);
    return SYMBOLON_OK;
}

enum symbolon_status symbolon_client_subscribe_with(struct symbolon_client *c,
                                                    const struct symbolon_subscription *subscriptions,
                                                    size_t count, const struct symbolon_request *request,
                                                    uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st =
        engine_subscribe(&c->engine, subscriptions, count, request, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_subscribe(struct symbolon_client *c,
                                               const struct symbolon_subscription *subscriptions, size_t count,
                                               uint64_t *ret_id, struct symbolon_error *error)
{
    return symbolon_client_subscribe_with(c, subscriptions, count, NULL, ret_id, error);
}

enum symbolon_status symbolon_client_unsubscribe_with(struct symbolon_client *c, const char *const *filters,
                                                      size_t count, const struct symbolon_request *request,
                                                      uint64_t *ret_id, struct symbolon_error *error)
{
    enum symbolon_status st =
        engine_unsubscribe(&c->engine, filters, count, request, client_now(c), ret_id, error);

    client_rearm(c);
    return st;
}

enum symbolon_status symbolon_client_unsubscribe(struct symbolon_client *c, const char *const *filters,
                                                 size_t count, uint64_t *ret_id, struct symbolon_error *error)
{
    return symbolon_client_unsubscribe_with(c, filters, count, NULL, ret_id, error);
}

enum symbolon_status symbolon_client_ack(struct symbolon_client *c, uint64_t handle, uint8_t reason_code,
                                         struct symbolon_error *error)
{
    enum symbolon_status st = engine_ack(&c->engine, handle, reason_code, client_now(c), error);

    client_rearm(c);
    return st;
}

void symbolon_client_pause(struct symbolon_client *c, bool paused)
{
    c->paused = paused;
    if (c->state != CLIENT_OPEN || c->stream == NULL)
        return; /* see engine_connected() */
    if (paused)
        stream_pause(c->stream);
    else
        stream_resume(c->stream);
}

enum symbolon_status symbolon_client_flush(struct symbolon_client *c, struct symbolon_error *error)
{
    enum symbolon_status st = engine_flush(&c->engine, client_now(c), error);

    client_rearm(c);
    return st;
}

size_t symbolon_client_pending(const struct symbolon_client *c)
{
    return engine_pending(&c->engine);
}
