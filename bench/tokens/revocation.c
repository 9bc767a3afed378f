#include "revocation.h"

#include "codec/base64.h"
#include "codec/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TOKEN_MAX 8192

struct admin {
    int fd;
    size_t len;
    char answer[4096];
};

struct admin *admin_open(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct admin *admin = calloc(1, sizeof *admin);

    if (path == NULL || strlen(path) >= sizeof address.sun_path || admin == NULL)
        die("--admin: where is the admin socket?");
    admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (admin->fd < 0 || connect(admin->fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("%s: cannot connect", path);
    return admin;
}

/* The `jti` of a JWT, which the generator need not trust. */
static void read_jti(struct span token, char *out, size_t cap)
{
    CLEANUP(buf_done)
    struct buf text;
    CLEANUP(js_unrefp)
    struct js *js = NULL;
    struct span jti;
    size_t dot = span_find(token, '.', 0), end = span_find(token, '.', dot + 1);

    buf_init(&text, TOKEN_MAX);
    if (base64url_decode(span_cut(token, dot + 1, end - dot - 1), &text, NULL) != ST_OK ||
        js_parse(buf_span(&text), TOKEN_MAX, &js, NULL) != ST_OK || !js_get_str(js, "jti", &jti))
        die("only JWTs are revoked here: by their jti, which a CWT or a reference does not show");
    snprintf(out, cap, "%.*s", SPAN_FMT(jti));
}

void admin_revoke(struct admin *admin, struct span token)
{
    char jti[128], line[256];

    read_jti(token, jti, sizeof jti);
    int n = snprintf(line, sizeof line, "{\"cmd\":\"token.revoke\",\"jti\":\"%s\"}\n", jti);
    admin->len = 0;
    if (write(admin->fd, line, (size_t)n) != n)
        die("the admin socket takes nothing");
}

bool admin_revoked(struct admin *admin, bool wait)
{
    ssize_t got = recv(admin->fd, admin->answer + admin->len, sizeof admin->answer - 1 - admin->len,
                       wait ? 0 : MSG_DONTWAIT);

    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0)
        die("the admin socket answers nothing");
    admin->len += (size_t)got;
    if (admin->answer[admin->len - 1] != '\n')
        return false;
    admin->answer[admin->len] = '\0';
    if (strstr(admin->answer, "\"ok\":true") == NULL)
        die("token.revoke: %s", admin->answer);
    return true;
}

void admin_close(struct admin *admin)
{
    (void)close(admin->fd);
    free(admin);
}
