/* Server redirection (MQTT5 4.11): 0x9C sends us to another server for now, 0x9D for good. Followed only if the application
 * said so, and never in circles. */
#include "base/host_port.h"
#include "client/client_priv.h"

#include <stdlib.h>

#define REDIRECTS_MAX 5
#define SETTLED_MS    10000 /* who was let in for so long was not just passed on */
#define HOST_MAX      253

/* The first of a list separated by spaces. *ret_port 0: not said. */
static bool parse_reference(struct span list, struct span *ret_host, uint16_t *ret_port)
{
    return host_port_parse(span_cut(list, 0, span_find(list, ' ', 0)), ret_host, ret_port) &&
           ret_host->len <= HOST_MAX;
}

static void go_to(struct symbolon_client *c, char *host, uint16_t port)
{
    free(c->other_host);
    c->o.host = c->other_host = host;
    c->o.port = port;
}

bool client_follow(struct symbolon_client *c, const struct symbolon_error *why, struct span server_reference)
{
    bool for_now = why->reason_code == MQTT_USE_ANOTHER_SERVER, moved = why->reason_code == MQTT_SERVER_MOVED;
    struct span host;
    uint16_t port;

    if (c->state == CLIENT_OPEN && client_now(c).mono.ms - c->arrived.ms >= SETTLED_MS)
        c->redirects = 0;
    if (!c->o.follow_server_reference || !(for_now || moved) || c->redirects >= REDIRECTS_MAX ||
        !parse_reference(server_reference, &host, &port))
        return false;
    char *copy = span_dup_str(host);
    if (for_now && c->home_host == NULL) {
        c->home_host = strdup(c->o.host);
        c->home_port = c->o.port;
    }
    if (copy == NULL || (for_now && c->home_host == NULL)) {
        free(copy);
        return false;
    }
    c->redirects++;
    go_to(c, copy, port != 0 ? port : client_default_port(&c->o));
    if (moved) {
        free(c->home_host);
        c->home_host = NULL;
    }
    client_say(c, 3, "the broker sends us to %s port %u%s", c->o.host, c->o.port, moved ? ", for good" : "");
    client_connect_anew(c, why);
    return true;
}

void client_go_home(struct symbolon_client *c)
{
    c->redirects = 0; /* after a pause */
    if (c->home_host == NULL)
        return;
    go_to(c, TAKE(c->home_host), c->home_port);
}

void client_arrived(struct symbolon_client *c)
{
    c->arrived = client_now(c).mono;
    c->failed_attempts = 0;
    c->pause_ms = 0;
}
