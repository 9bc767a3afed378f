/* broker/resolver.h - asks authorization servers what the broker cannot decide by itself: their signing keys
 * (JWKS) and what a reference token stands for (introspection, RFC 7662). Never blocks a worker, and fails closed:
 * no answer, no token.
 * Keys:    fetched at the start, every jwks_interval (sooner if the server says max-age), conditionally by ETag, and
 *          when a token names an unknown key, then at most once in jwks_min_interval per server; everybody who asks
 *          meanwhile shares that one fetch. Each new set makes a new verifier, handed to `publish`. Keys once fetched
 *          stay in use while the server cannot be reached. Where jwks_pins are set, no other key is taken from the set.
 * Introspection: at most as_max_concurrent at a time, as_max_waiting behind them, each within as_timeout; several
 *          servers with introspection are asked in order until one knows the token.
 * Threads: one, its loop's. */
#ifndef SYMBOLON_BROKER_RESOLVER_H
#define SYMBOLON_BROKER_RESOLVER_H

#include "broker/settings_file.h"
#include "net/loop.h"

struct resolver;
struct token;
struct verifier;

/* `publish` gets each new verifier (lent). `config` must outlive the resolver. Reads the client secrets. */
enum status resolver_new(struct loop *loop, const struct broker_config *config, struct verifier *verifier,
                         void (*publish)(void *ctx, struct verifier *verifier), void *ctx,
                         struct resolver **ret_resolver, struct why *why) MUST_CHECK;
/* Whoever still waits is answered ST_UNREACHABLE first. NULL is fine. */
void resolver_free(struct resolver *resolver);

/* Fetches the keys now; after that the timer does. */
void resolver_start(struct resolver *resolver);
/* New verifier from the settings' files (SIGHUP): fetched keys are kept until fetched again, at once. */
enum status resolver_reload(struct resolver *resolver, struct why *why) MUST_CHECK;

/* This broker's secret at authorization_servers[server]; NULL: none. */
const char *resolver_client_secret(const struct resolver *resolver, size_t server);

/* Answers exactly once, never inside the call. RESOLVE_KEYS: ST_OK without a token when the keys are as fresh as
 * allowed. RESOLVE_INTROSPECT: takes over a copy of `token`; on ST_OK the callback owns the token reference. */
typedef void resolver_done_fn(void *ctx, enum status st, struct token *token, const struct why *why);
void resolver_ask(struct resolver *resolver, enum resolve_kind kind, struct span token, resolver_done_fn *done,
                  void *ctx);

#endif
