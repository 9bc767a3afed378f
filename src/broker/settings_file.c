#include "broker/settings_file.h"

#include "codec/base64.h"
#include "jose/jwk.h"
#include "net/source.h"
#include "net/ws.h"
#include "scope/scope.h"
#include "shard/response_info.h"
#include "topic/topic_tree.h"

static const char *const levels[] = { "error", "warning", "notice", "info", "debug", NULL };
static const char *const durabilities[] = { "none", "interval", "commit", NULL }; /* enum durability */
static const char *const losses[] = { "drop", "disconnect", NULL };
static const char *const claim_forms[] = { "aif", "emqx_acl", NULL };
static const char *const clocks[] = { "trusted", "untrusted", NULL };
static const char *const resume_losses[] = { "drop", "new", NULL };
static const char *const v3_keep_alives[] = { "own", "refuse", NULL };
static const char *const queues_full[] = { "drop_newest", "drop_oldest", "refuse", NULL }; /* enum queue_full */
static const char *const transports[] = { "tcp", "websocket", NULL };
static const char *const certificate_wishes[] = { "none", "optional", "required", NULL };

#define MEMORY_LEAST ((size_t)16 * 1024 * 1024)

/* clang-format off */
#define L(member) AT(struct listener_config, member)
static const struct config_setting listener_rows[] = {
    { "name", CONFIG_STRING, L(name),
      .help = "How the log and the ports file call it; by default `mqtts` with TLS and `mqtt` without, `wss` and `ws` for WebSocket." },
    { "address", CONFIG_STRING, L(address), .dflt = "0.0.0.0",
      .help = "IPv4 or IPv6 address to listen on; `::` takes both." },
    { "port", CONFIG_INT, L(port), .dflt = "8883", .min = 0, .max = 65535,
      .help = "TCP port; 0 takes any free one." },
    { "tls", CONFIG_BOOL, L(tls), .dflt = "true",
      .help = "Without TLS only the public topics are served, to this machine only: the address must be a loopback "
              "address." },
    { "certificate", CONFIG_PATH, L(certificate), .flags = CONFIG_LIVE, .example = "broker.pem",
      .help = "PEM file with the server's certificate chain." },
    { "key", CONFIG_PATH, L(key), .flags = CONFIG_LIVE, .example = "broker.key",
      .help = "PEM file with its private key." },
    { "tickets", CONFIG_BOOL, L(tickets), .dflt = "true",
      .help = "Let clients resume TLS sessions. On a resumed session a token is proved by challenge and response." },
    { "client_certificate", CONFIG_ENUM, L(client_certificate), .dflt = "none", .choices = certificate_wishes,
      .help = "Ask clients for a certificate. A token is needed all the same; one bound to that certificate "
              "(`x5t#S256`) needs no other proof." },
    { "raw_keys", CONFIG_BOOL, L(raw_keys), .dflt = "true",
      .help = "Serve the key raw beside its certificate, and let clients show a raw public key (RFC 7250) for which "
              "they have put a token on `authz-info`. Not where `client_certificate` is `required`." },
    { "psk", CONFIG_BOOL, L(psk), .dflt = "true",
      .help = "Let clients use the secret of a token as a pre-shared key: the token itself is the identity, or its "
              "`kid` after it was put on `authz-info`. Not where `client_certificate` is `required`." },
    { "client_ca", CONFIG_PATH, L(client_ca), .flags = CONFIG_LIVE,
      .help = "PEM file with the authorities that vouch for client certificates." },
    { "transport", CONFIG_ENUM, L(transport), .dflt = "tcp", .choices = transports,
      .help = "What carries MQTT behind TLS: the connection itself, or WebSocket, for web pages and through proxies." },
    { "path", CONFIG_STRING, L(path), .dflt = WS_PATH,
      .help = "With `websocket`: the path clients ask for; the rest of their URL does not matter." },
    { "origins", CONFIG_STRINGS, L(origins), .max = 256,
      .help = "With `websocket`: web pages that may connect, as browsers name them, such as `https://www.example`; `*` is any. By default none; clients that are no browsers name no origin and are not asked." },
    { NULL },
};

#define P(member) AT(struct public_topic_config, member)
static const struct config_setting public_topic_rows[] = {
    { "filter", CONFIG_STRING, P(filter), .flags = CONFIG_REQUIRED, .example = "public/#",
      .help = "Topic filter." },
    { "publish", CONFIG_BOOL, P(publish), .dflt = "false", .help = "Anybody may publish there." },
    { "subscribe", CONFIG_BOOL, P(subscribe), .dflt = "true", .help = "Anybody may subscribe there." },
    { NULL },
};

#define A(member) AT(struct as_config, member)
static const struct config_setting as_rows[] = {
    { "issuer", CONFIG_STRING, A(issuer), .flags = CONFIG_REQUIRED, .example = "https://as.example",
      .help = "Name of the authorization server in tokens, compared exactly with `iss`." },
    { "token_endpoint", CONFIG_STRING, A(token_endpoint), .example = "https://as.example/token",
      .help = "Where clients get tokens; the first server's is told to clients that come without one." },
    { "ca", CONFIG_PATH, A(ca), .example = "as-ca.pem",
      .help = "PEM file with the authority of the server's HTTPS certificate; by default the system's." },
    { "jwks_uri", CONFIG_STRING, A(jwks_uri), .example = "https://as.example/jwks.json",
      .help = "Where its signing keys are. They are fetched at the start, now and then, and when an unknown key "
              "turns up." },
    { "jwks_file", CONFIG_PATH, A(jwks_file), .flags = CONFIG_LIVE,
      .help = "Its signing keys in a file, instead of `jwks_uri`." },
    { "introspection_uri", CONFIG_STRING, A(introspection_uri),
      .help = "Where reference tokens are looked up (RFC 7662)." },
    { "revocation_uri", CONFIG_STRING, A(revocation_uri), .example = "https://as.example/trl",
      .help = "Where it lists revoked tokens (RFC 9770). A request stands there all the time: news reaches live connections at once." },
    { "pinned_pubkey", CONFIG_STRING, A(pinned_pubkey), .example = "sha256//AbCd...=",
      .help = "The only public key its HTTPS server may have, besides the certificate being good: `sha256//` and base64 of the SHA-256 of the SubjectPublicKeyInfo." },
    { "jwks_pins", CONFIG_STRINGS, A(jwks_pins), .max = 64,
      .help = "Thumbprints (RFC 7638, SHA-256, base64url) of the only signing keys that are taken from its key set. By default any." },
    { "audiences", CONFIG_STRINGS, A(audiences), .max = 16,
      .help = "Names of this broker in this server's tokens, instead of the common `audiences`." },
    { "audience_optional", CONFIG_BOOL, A(claims.audience_optional), .dflt = "false",
      .help = "Take tokens without `aud`, which are then good wherever this server is trusted. Tokens that name others are refused all the same." },
    { "scope_claim", CONFIG_STRING, A(claims.scope), .example = "mqtt",
      .help = "Claim with the permissions, instead of `scope`; a JSON Pointer if it begins with `/`, as do the other names of claims: `/ext/mqtt`." },
    { "scope_form", CONFIG_ENUM, A(claims.scope_form), .dflt = "aif", .choices = claim_forms,
      .help = "What that claim holds: `aif` as RFC 9431 has it, or `emqx_acl`, the lists or rules that EMQX takes. What a scope cannot say - a denial in front of what it takes from, permissions for some QoS only - makes the token unusable." },
    { "client_id_claim", CONFIG_STRING, A(claims.client_id), .example = "azp",
      .help = "Claim with the client, instead of `client_id`; also what `${clientid}` in an `emqx_acl` stands for." },
    { "subject_claim", CONFIG_STRING, A(claims.subject), .help = "Claim with the subject, instead of `sub`." },
    { "username_claim", CONFIG_STRING, A(claims.username), .example = "preferred_username",
      .help = "Claim that `${username}` in an `emqx_acl` stands for." },
    { "cnf_claim", CONFIG_STRING, A(claims.cnf), .example = "/ext/cnf",
      .help = "Claim with the key to be proved, instead of `cnf`. A token without one is never taken." },
    { "token_types", CONFIG_STRINGS, A(claims.types), .max = 16,
      .help = "Values of the `typ` header that are taken besides `JWT` and `at+jwt`." },
    { "client_id", CONFIG_STRING, A(client_id), .help = "This broker's name at the authorization server." },
    { "client_secret_file", CONFIG_PATH, A(client_secret_file),
      .help = "File with this broker's secret there, for introspection and revocation." },
    { "token_key_file", CONFIG_PATH, A(token_key_file),
      .help = "File with the JWK under which the authorization server encrypts tokens for this broker: a secret both have, or this broker's private P-256 key, whose public half the server has." },
    { NULL },
};
/* clang-format on */

static const struct config_table listener_table = { "listener", listener_rows, sizeof(struct listener_config),
                                                    NULL };
static const struct config_table public_topic_table = { "public topic", public_topic_rows,
                                                        sizeof(struct public_topic_config), NULL };
static const struct config_table as_table = { "authorization server", as_rows, sizeof(struct as_config), NULL };

/* clang-format off */
#define S(member) AT(struct broker_config, member)
static const struct config_setting rows[] = {
    { "listeners", CONFIG_RECORDS, S(listeners), .record = &listener_table, .min = 1, .max = 16,
      .help = "Where clients connect." },
    { "authorization_servers", CONFIG_RECORDS, S(authorization_servers), .record = &as_table, .max = 16,
      .help = "Who may issue tokens for this broker." },
    { "audiences", CONFIG_STRINGS, S(audiences), .max = 16,
      .help = "Names of this broker in tokens (`aud`). The first is told to clients that come without a token." },
    { "public_topics", CONFIG_RECORDS, S(public_topics), .record = &public_topic_table, .max = 256,
      .help = "What anybody may do, with or without a token. Nothing by default." },
    { "bridges", CONFIG_RECORDS, S(bridges), .record = &bridge_config_table, .max = 64,
      .help = "Other brokers with which topics are shared: see docs/operate/bridge.md." },
    { "bridge_node", CONFIG_STRING, S(bridge_node), .example = "site7",
      .help = "Name of this broker in the property `symbolon-path` of bridged messages, by which rings of brokers are broken: at most 20 letters and digits, another one for each broker. By default random at each start." },
    { "workers", CONFIG_INT, S(workers), .dflt = "0", .max = 64, .unit = "threads",
      .help = "Threads that serve clients; 0 takes one per processor." },
    { "workers_rest", CONFIG_BOOL, S(workers_rest), .dflt = "true",
      .help = "While there is little to do, the first worker's thread serves the clients of others as well, whose threads then rest: two that sleep and wake cost more than one. `$SYS/broker/workers/awake` says how many have a thread. `no`: each serves its own at all times." },
    { "durability", CONFIG_ENUM, S(durability), .dflt = "commit", .choices = durabilities,
      .help = "What an acknowledgement means for a session that outlives its connection and for a retained message: `commit`, it is on disk; `interval`, it will be within `store.interval`; `none`, it is in memory and ends with the process. The first two need `state_dir`. See docs/operate/durability.md." },
    { "store.interval", CONFIG_DURATION_MS, S(store_interval_ms), .dflt = "1s", .min = 10, .max = 3600000,
      .help = "With `durability: interval`: how often what has changed is written to disk. It is the most that a crash takes." },
    { "store.stall", CONFIG_DURATION_MS, S(store_stall_ms), .dflt = "10s", .min = 100, .max = 3600000,
      .help = "A write to disk that has been under way for so long is reported: the event `store_stalled`. Acknowledgements wait for it all the same." },
    { "store.max_bytes", CONFIG_SIZE, S(store_max_bytes), .dflt = "16g", .min = 1048576, .max = 17592186044416,
      .help = "How large the store in `state_dir` may grow. What would be kept in a full store is refused, as with a full disk, until there is room." },
    { "mqtt_3_1_1", CONFIG_BOOL, S(mqtt_3_1_1), .dflt = "true",
      .help = "Serve clients of MQTT 3.1.1 besides those of MQTT 5, on the same listeners." },
    { "maximum_qos", CONFIG_INT, S(maximum_qos), .dflt = "2", .max = 2,
      .help = "The highest QoS offered: a publication or a Will beyond it is refused, a subscription gets it instead of a higher one." },
    { "retain_available", CONFIG_BOOL, S(retain_available), .dflt = "true",
      .help = "Keep retained messages. If not, a publication or a Will that is to be retained is refused." },
    { "wildcard_subscriptions", CONFIG_BOOL, S(wildcard_subscriptions), .dflt = "true",
      .help = "Take topic filters with `+` and `#`." },
    { "subscription_identifiers", CONFIG_BOOL, S(subscription_identifiers), .dflt = "true",
      .help = "Take subscriptions with an identifier that then comes with their messages." },
    { "shared_subscriptions", CONFIG_BOOL, S(shared_subscriptions), .dflt = "true",
      .help = "Take shared subscriptions, `$share/NAME/FILTER`: each message goes to one member of the group. Also in MQTT 3.1.1." },
    { "response_topic_prefix", CONFIG_STRING, S(response_topic_prefix), .example = "replies/${client_id}/",
      .help = "Told as Response Information to clients of MQTT 5 that ask for it and may subscribe to all that begins so: where answers to their requests can go. `${client_id}` is the Client Identifier; one with `/`, `+` or `#` in it is told nothing. By default nobody is." },
    { "server_reference", CONFIG_STRING, S(server_reference), .example = "broker2.example:8883",
      .help = "Where clients of MQTT 5 are sent (reason code 0x9C, Server Reference) when this broker shuts down or has no room for another session." },
    { "sys_interval", CONFIG_DURATION_S, S(sys_interval_s), .dflt = "10s", .max = 86400,
      .help = "How often what has changed is published under `$SYS`; 0: never. To read it a client needs a token, or a public topic, that names `$SYS/...`; `#` does not." },
    { "state_dir", CONFIG_PATH, S(state_dir), .example = "/var/lib/symbolon-broker",
      .help = "Folder for what must survive a restart: sessions and retained messages (`durability`), tokens published to `authz-info` with their keys, first receipts, revocations. It should be this server's alone. Without it all that is in memory only." },
    { "user", CONFIG_STRING, S(user),
      .help = "Account to change to once sockets and keys are open, when started as root." },
    { "control_socket", CONFIG_PATH, S(control_socket), .example = "/run/symbolon-broker/control.sock",
      .help = "Unix socket for `symbolon broker`, closed to all but root and this server's own user. By default `control.sock` in `state_dir`; without that, none." },
    { "statistics_interval", CONFIG_DURATION_S, S(statistics_interval_s), .dflt = "0", .max = 86400,
      .help = "How often the event `statistics` is logged with the counters of all threads; 0: only on SIGUSR1." },
    { "log_level", CONFIG_ENUM, S(log_level), .dflt = "info", .choices = levels,
      .help = "The least important events that are still logged." },
    { "log_rate", CONFIG_INT, S(log_rate), .dflt = "100", .max = 1000000, .unit = "lines per second",
      .help = "How often one event is logged in a second by each thread, so that nobody fills the disk; the others are counted in `log_suppressed`. Errors are always logged. 0: no limit." },

    { "token.skew", CONFIG_DURATION_S, S(token_skew_s), .dflt = "30s", .max = 600,
      .help = "Difference of clocks tolerated when a token's times are checked." },
    { "token.max_lifetime", CONFIG_DURATION_S, S(token_max_lifetime_s), .dflt = "0", .max = 315360000,
      .help = "Refuse tokens that still live longer than this; 0: no limit." },
    { "token.jwks_interval", CONFIG_DURATION_S, S(jwks_interval_s), .dflt = "10m", .min = 10, .max = 604800,
      .help = "How often signing keys are fetched without a reason." },
    { "token.jwks_min_interval", CONFIG_DURATION_MS, S(jwks_min_interval_ms), .dflt = "10s", .max = 3600000,
      .help = "Unknown keys cause at most one fetch in this time." },
    { "token.clock", CONFIG_ENUM, S(token_clock), .dflt = "trusted", .choices = clocks,
      .help = "`untrusted`: this machine's calendar means nothing. A token's life then counts from its first receipt, and only tokens that bring back a fresh `cnonce` from the hints are taken." },
    { "token.cnonce_life", CONFIG_DURATION_S, S(cnonce_life_s), .dflt = "2m", .min = 1, .max = 86400,
      .help = "How long a `cnonce` from the hints stays fresh, with `token.clock: untrusted`." },
    { "token.max_cached", CONFIG_INT, S(token_max_cached), .dflt = "100000", .max = 100000000, .unit = "tokens",
      .help = "Verified tokens remembered, so that a client that comes back with the same one costs less; 0: none." },
    { "token.max_receipts", CONFIG_INT, S(token_max_receipts), .dflt = "100000", .min = 1, .max = 100000000,
      .unit = "tokens", .help = "Tokens whose life counts from their first receipt (`exi`); beyond, such tokens are refused." },
    { "token.max_revoked", CONFIG_INT, S(token_max_revoked), .dflt = "400000", .min = 1, .max = 100000000,
      .unit = "tokens", .help = "Revoked tokens remembered until they would have ended anyway." },
    { "token.introspection_cache", CONFIG_DURATION_S, S(introspection_cache_s), .dflt = "0", .max = 86400,
      .help = "How long an introspection answer is good for further connections with the same token, never beyond the token's end; 0: each connection is introspected anew." },
    { "token.as_timeout", CONFIG_DURATION_MS, S(as_timeout_ms), .dflt = "5s", .min = 50, .max = 60000,
      .help = "Time for an authorization server to answer." },
    { "token.as_max_concurrent", CONFIG_INT, S(as_max_concurrent), .dflt = "16", .min = 1, .max = 1000,
      .unit = "requests", .help = "Introspections under way at a time." },
    { "token.as_max_waiting", CONFIG_INT, S(as_max_waiting), .dflt = "1000", .min = 1, .max = 1000000,
      .unit = "requests", .help = "Introspections waiting for their turn; beyond, connections are refused." },

    { "revocation.wait", CONFIG_DURATION_S, S(revocation_wait_s), .dflt = "30s", .min = 1, .max = 60,
      .help = "How long the authorization server may hold a request for its list of revoked tokens until there is news. A connection that broke unnoticed is found out after this time and `token.as_timeout`." },
    { "revocation.poll_interval", CONFIG_DURATION_MS, S(revocation_poll_ms), .dflt = "10s", .min = 100, .max = 3600000,
      .help = "How often a server that holds no requests is asked." },
    { "revocation.max_stale", CONFIG_DURATION_S, S(revocation_max_stale_s), .dflt = "0", .max = 2592000,
      .help = "When a server with `revocation_uri` has not answered for this long, its tokens are refused and their sessions cut until it does. 0: never; what is known stays in force, and every token ends at its own time." },

    { "ace.hints", CONFIG_BOOL, S(hints), .dflt = "true",
      .help = "Tell clients without a usable token where to get one." },
    { "ace.hint_scope", CONFIG_STRING, S(hint_scope), .help = "Scope suggested in the hints." },
    { "ace.reauth_needs_challenge", CONFIG_BOOL, S(reauth_needs_challenge), .dflt = "false",
      .help = "Only who proved possession by challenge and response when connecting may renew the token inside "
              "the connection." },
    { "ace.lost_subscriptions", CONFIG_ENUM, S(lost_subscriptions), .dflt = "drop", .choices = losses,
      .help = "What a renewed token that no longer covers a subscription does: `drop` ends that subscription, "
              "`disconnect` the connection." },
    { "ace.hide_topics", CONFIG_BOOL, S(hide_topics), .dflt = "false",
      .help = "Refuse topics with an unspecified error instead of saying that they are not authorized." },
    { "ace.v5_user_name", CONFIG_BOOL, S(v5_user_name), .dflt = "false",
      .help = "Clients of MQTT 5 may bring token and proof in user name and password, too, as those of 3.1.1 do. "
              "Not recommended by RFC 9431." },
    { "ace.check_client_id_owner", CONFIG_BOOL, S(check_client_id_owner), .dflt = "true",
      .help = "A Client Identifier in use belongs to the token subject that took it." },

    { "ace.stored_tokens", CONFIG_BOOL, S(stored_tokens), .dflt = "false",
      .help = "A client that connects with method ace but without a token proves the key of the token that the session of its Client Identifier rests on." },

    { "authz_info.enabled", CONFIG_BOOL, S(authz_info), .dflt = "false",
      .help = "Tokens may be published to the topic `authz-info`, by anybody, for clients that prove their key by TLS. Clients without a token are let in for that, for a short time." },
    { "authz_info.max_tokens", CONFIG_INT, S(authz_max_tokens), .dflt = "10000", .min = 1, .max = 10000000,
      .unit = "tokens", .help = "Tokens kept. When they are more, the oldest that no client has used yet goes." },
    { "authz_info.max_bytes", CONFIG_SIZE, S(authz_max_bytes), .dflt = "32m", .min = 65536, .max = 1099511627776,
      .help = "Bytes of tokens kept." },
    { "authz_info.per_source", CONFIG_INT, S(authz_per_source), .dflt = "100", .min = 1, .max = 10000000,
      .unit = "tokens", .help = "Tokens kept of one address (of one /64 in IPv6) that no client has used yet." },
    { "authz_info.rate", CONFIG_INT, S(authz_rate), .dflt = "60", .max = 60000, .unit = "per minute",
      .help = "Publications to `authz-info` from one address, good or bad; 0: no limit." },
    { "authz_info.unused_timeout", CONFIG_DURATION_S, S(authz_unused_s), .dflt = "1d", .max = 315360000,
      .help = "A token is dropped when no client has connected with it for so long; 0: never before its end." },
    { "authz_info.max_visitors", CONFIG_INT, S(authz_max_visitors), .dflt = "1000", .min = 1, .max = 10000000,
      .unit = "connections", .help = "Connections of clients with neither a token nor public topics." },
    { "authz_info.visit", CONFIG_DURATION_MS, S(authz_visit_ms), .dflt = "30s", .min = 1000, .max = 3600000,
      .help = "How long each of them may stay." },

    { "hostile.connects", CONFIG_INT, S(hostile_connects_per_s), .dflt = "100", .max = 1000000, .unit = "per second",
      .help = "Connections from one address (one /64 in IPv6) in a second, once `hostile.connects_burst` is used up; more are closed as they are accepted. 0: no limit." },
    { "hostile.connects_burst", CONFIG_INT, S(hostile_connects_burst), .dflt = "1000", .min = 1, .max = 1000000,
      .unit = "connections", .help = "Connections from one address at once, before `hostile.connects` counts." },
    { "hostile.faults", CONFIG_INT, S(hostile_faults_per_min), .dflt = "6", .max = 60000, .unit = "per minute",
      .help = "What no honest client does - a forged token, a wrong proof, no TLS where TLS is spoken - is forgiven so often in a minute to one address, once `hostile.faults_burst` is used up; beyond, it is banned. A token that has ended is no fault. 0: nobody is banned." },
    { "hostile.faults_burst", CONFIG_INT, S(hostile_faults_burst), .dflt = "20", .min = 1, .max = 1000000,
      .unit = "faults", .help = "Faults forgiven at once." },
    { "hostile.ban", CONFIG_DURATION_MS, S(hostile_ban_ms), .dflt = "10s", .min = 100, .max = 86400000,
      .help = "How long an address is not let in when it is banned for the first time; twice as long each time after. Connections that it has stay." },
    { "hostile.ban_max", CONFIG_DURATION_MS, S(hostile_ban_max_ms), .dflt = "1h", .min = 100, .max = 2592000000,
      .help = "The longest ban." },
    { "hostile.calm", CONFIG_DURATION_MS, S(hostile_calm_ms), .dflt = "10m", .min = 100, .max = 2592000000,
      .help = "Each such time without a ban takes one doubling back." },
    { "hostile.exempt", CONFIG_STRINGS, S(hostile_exempt), .max = 256,
      .help = "Addresses and networks none of this is for, nor the limits per address: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. Proxies belong here: all their clients have their address." },
    { "hostile.exempt_loopback", CONFIG_BOOL, S(hostile_exempt_loopback), .dflt = "true",
      .help = "So is this machine itself, 127.0.0.0/8 and ::1." },
    { "hostile.addresses", CONFIG_INT, S(hostile_addresses), .dflt = "65536", .max = 16777216, .unit = "addresses",
      .help = "Addresses remembered, 64 bytes each; beyond, the least interesting is forgotten. 0: none, and nothing is limited by address." },

    { "session.continuation", CONFIG_BOOL, S(session_continuation), .dflt = "true",
      .help = "Sessions may outlive their connection." },
    { "session.lost_subscriptions", CONFIG_ENUM, S(session_lost_subscriptions), .dflt = "drop",
      .choices = resume_losses,
      .help = "What becomes of a session when its client comes back with a token that does not cover every subscription: "
              "`drop` goes on without those, `new` begins a new session, so that the client subscribes again and sees "
              "what is refused." },
    { "session.max_expiry", CONFIG_DURATION_S, S(session_max_expiry_s), .dflt = "7d", .max = 4294967295,
      .help = "The longest a session lives without a connection." },
    { "session.v3_max_expiry", CONFIG_DURATION_S, S(session_v3_max_expiry_s), .dflt = "1d", .max = 4294967295,
      .help = "The same for clients of MQTT 3.1.1, which cannot say themselves how long to keep one; never more than `session.max_expiry`." },
    { "session.guest_max_expiry", CONFIG_DURATION_S, S(session_guest_max_expiry_s), .dflt = "0", .max = 4294967295,
      .help = "The same for clients without a token, who have public topics only. Anybody may be one, and each session takes room until it expires: 0 ends theirs with the connection." },
    { "session.max_inflight", CONFIG_INT, S(session_max_inflight), .dflt = "256", .min = 1, .max = 32768,
      .unit = "messages", .help = "QoS 1 and 2 messages to one client without an answer yet." },
    { "session.max_queue_messages", CONFIG_INT, S(session_max_queue_messages), .dflt = "10000", .min = 1,
      .max = 100000000, .unit = "messages", .help = "Messages waiting for one client." },
    { "session.max_queue_bytes", CONFIG_SIZE, S(session_max_queue_bytes), .dflt = "32m", .min = 65536,
      .max = 1099511627776, .help = "Bytes waiting for one client." },
    { "session.queue_full", CONFIG_ENUM, S(session_queue_full), .dflt = "drop_newest", .choices = queues_full,
      .help = "What becomes of a message for a queue that is full, of a session or of a shared subscription: `drop_newest` drops it, `drop_oldest` drops what has waited longest and was not sent yet, `refuse` refuses the publication (0x97; a client of MQTT 3.1.1 is disconnected) before anybody gets it, where the queue is on the publisher's own thread; elsewhere, and of QoS 0, what comes is dropped. See docs/operate/limits.md." },
    { "session.max_retained_backlog", CONFIG_INT, S(session_max_retained_backlog), .dflt = "100000", .min = 1,
      .max = 100000000, .unit = "messages", .help = "Retained messages waiting to be sent after a SUBSCRIBE." },
    { "session.max_subscriptions", CONFIG_INT, S(session_max_subscriptions), .dflt = "100000", .min = 1,
      .max = 100000000, .unit = "subscriptions", .help = "Subscriptions of one client." },
    { "session.max_subscription_bytes", CONFIG_SIZE, S(session_max_subscription_bytes), .dflt = "16m", .min = 65536,
      .max = 1099511627776, .help = "Bytes of all topic filters of one client. Each thread may keep a copy of them." },

    { "limits.memory", CONFIG_SIZE, S(max_memory), .dflt = "0", .max = 17592186044416,
      .help = "Memory this broker may take; 0: `limits.memory_share`. Below it, at `limits.memory_low`, publishers are slowed down, and at `limits.memory_high` new work is refused: see docs/operate/limits.md." },
    { "limits.memory_share", CONFIG_INT, S(memory_share), .dflt = "60", .max = 100, .unit = "percent",
      .help = "The same as a share of the machine's memory, or of what the control group allows (`memory.max`) if that is less; 0: no limit." },
    { "limits.memory_low", CONFIG_INT, S(memory_low), .dflt = "70", .min = 1, .max = 99, .unit = "percent",
      .help = "Of the memory allowed: from here on those who publish much are read more slowly, the more so the nearer `limits.memory_high` is, and new connections are told a smaller Receive Maximum." },
    { "limits.memory_high", CONFIG_INT, S(memory_high), .dflt = "85", .min = 2, .max = 100, .unit = "percent",
      .help = "Of the memory allowed: from here on new sessions, subscriptions and publications are refused (0x97), and publications of QoS 0 dropped." },
    { "limits.subscriptions", CONFIG_INT, S(max_all_subscriptions), .dflt = "10000000", .min = 1, .max = 1000000000,
      .unit = "subscriptions", .help = "Subscriptions of all clients." },
    { "limits.subscription_bytes", CONFIG_SIZE, S(max_all_subscription_bytes), .dflt = "1g", .min = 65536,
      .max = 1099511627776, .help = "Bytes of the topic filters of all clients." },
    { "limits.unfinished", CONFIG_SIZE, S(max_unfinished_bytes), .dflt = "256m", .max = 1099511627776,
      .help = "Bytes of packets of which only a part has come, of all clients; beyond, the connection whose packet has been under way longest is ended (0x97). 0: no limit." },
    { "limits.output_total", CONFIG_SIZE, S(max_output_total), .dflt = "1g", .max = 1099511627776,
      .help = "Bytes sent and not taken yet, of all clients; beyond, `limits.output` is 16k for each. 0: no limit." },
    { "limits.inbox", CONFIG_SIZE, S(max_inbox_bytes), .dflt = "256m", .min = 1048576, .max = 1099511627776,
      .help = "Bytes on their way from the other threads to one; from a quarter of it on they wait for it, beyond it publications of QoS 0 are dropped." },
    { "limits.connections", CONFIG_INT, S(max_connections), .dflt = "100000", .min = 1, .max = 10000000,
      .unit = "connections", .help = "Connections altogether." },
    { "limits.sessions", CONFIG_INT, S(max_sessions), .dflt = "200000", .min = 1, .max = 100000000,
      .unit = "sessions", .help = "Sessions altogether, connected or not." },
    { "limits.handshakes", CONFIG_INT, S(max_handshakes), .dflt = "4096", .min = 1, .max = 10000000,
      .unit = "connections", .help = "Connections that are not authorized yet: TLS, WebSocket, CONNECT, AUTH. Each thread has its share of them; beyond, a new one takes the place of the oldest." },
    { "limits.handshakes_per_address", CONFIG_INT, S(max_address_handshakes), .dflt = "256", .max = 10000000,
      .unit = "connections", .help = "The same from one address (one /64 in IPv6); more are closed as they are accepted. 0: no limit. See docs/operate/hostile.md about many clients behind one address." },
    { "limits.connections_per_address", CONFIG_INT, S(max_address_connections), .dflt = "10000", .max = 10000000,
      .unit = "connections", .help = "Connections from one address, authorized or not; 0: no limit." },
    { "limits.handshake_timeout", CONFIG_DURATION_MS, S(handshake_timeout_ms), .dflt = "10s", .min = 100,
      .max = 600000, .help = "Time for the TLS handshake, and the upgrade to WebSocket where there is one." },
    { "limits.connect_timeout", CONFIG_DURATION_MS, S(connect_timeout_ms), .dflt = "10s", .min = 100,
      .max = 600000, .help = "Time from then to the CONNECT packet." },
    { "limits.auth_timeout", CONFIG_DURATION_MS, S(auth_timeout_ms), .dflt = "10s", .min = 100, .max = 600000,
      .help = "Time for the answer to a challenge, and for a token to be looked up." },
    { "limits.keep_alive", CONFIG_DURATION_S, S(keep_alive_max_s), .dflt = "1h", .max = 65535,
      .help = "The longest Keep Alive; a client that asks for more, or for none, gets this. 0: no cap. Clients of MQTT 3.1.1 cannot be told: see `limits.keep_alive_v3`." },
    { "limits.keep_alive_v3", CONFIG_ENUM, S(keep_alive_v3), .dflt = "own", .choices = v3_keep_alives,
      .help = "What becomes of a client of MQTT 3.1.1 whose Keep Alive is beyond `limits.keep_alive`: it keeps its `own`, or is `refuse`d (return code 2, as mosquitto does)." },
    { "limits.packet_timeout", CONFIG_DURATION_MS, S(packet_timeout_ms), .dflt = "2m", .max = 86400000,
      .help = "Time for a packet that has begun to be there whole, whatever the Keep Alive; 0: any. It sets the slowest line that can send a packet of `limits.packet`." },
    { "limits.packet", CONFIG_SIZE, S(max_packet_bytes), .dflt = "1m", .min = 1024, .max = 268435460,
      .help = "Maximum Packet Size announced to clients." },
    { "limits.connect_packet", CONFIG_SIZE, S(max_connect_bytes), .dflt = "128k", .min = 1024, .max = 16777216,
      .help = "The largest CONNECT and AUTH before a client is authorized." },
    { "limits.receive_maximum", CONFIG_INT, S(receive_maximum), .dflt = "256", .min = 1, .max = 65535,
      .unit = "messages", .help = "QoS 1 and 2 publications of one client in flight." },
    { "limits.topic_aliases", CONFIG_INT, S(topic_alias_maximum), .dflt = "32", .max = 65535, .unit = "aliases",
      .help = "Topic Alias Maximum announced to clients. The topics behind all aliases of one client may take as much as a packet (`limits.packet`), or 256 bytes each." },
    { "limits.topic_aliases_out", CONFIG_INT, S(topic_aliases_out), .dflt = "32", .max = 65535, .unit = "aliases",
      .help = "Topic aliases used towards one client, where it takes as many; 0: none." },
    { "limits.filters_per_packet", CONFIG_INT, S(max_filters), .dflt = "1024", .min = 1, .max = 65535,
      .unit = "filters", .help = "Topic filters in one SUBSCRIBE." },
    { "limits.topic_levels", CONFIG_INT, S(max_topic_levels), .dflt = "200", .min = 1, .max = TOPIC_TREE_MAX_LEVELS,
      .unit = "levels", .help = "Levels of a topic name or filter." },
    { "limits.output", CONFIG_SIZE, S(max_output_bytes), .dflt = "1m", .min = 65536, .max = 1073741824,
      .help = "Bytes a client may be behind with reading before QoS 0 messages to it are dropped." },

    { "retained.max_messages", CONFIG_INT, S(retained_max_messages), .dflt = "100000", .min = 1, .max = 100000000,
      .unit = "messages", .help = "Retained messages altogether. For none at all: `retain_available`." },
    { "retained.keep_after_token", CONFIG_BOOL, S(retained_keep_after_token), .dflt = "false",
      .help = "Keep retained messages when the token they were published on ends or is revoked. RFC 9431 drops them." },
    { "retained.max_bytes", CONFIG_SIZE, S(retained_max_bytes), .dflt = "256m", .max = 1099511627776,
      .help = "Bytes of retained messages altogether." },
    { NULL },
};
/* clang-format on */

/* -- what no single row can say -------------------------------------------------------------------------- */

static bool is_loopback(const char *address)
{
    return span_starts_with(span_of_str(address), SPAN("127.")) || strcmp(address, "::1") == 0;
}

static bool is_https(const char *uri)
{
    return uri == NULL || span_starts_with(span_of_str(uri), SPAN("https://"));
}

static bool ends_with(struct span s, struct span end)
{
    return s.len >= end.len && span_eq(span_cut(s, s.len - end.len, s.len), end);
}

/* A browser sends scheme, host, and the port if it is not the usual one (RFC 6454 6.2): "https://www.example/" and
 * "https://www.example:443" would never match, and somebody would then write "*". "null" is what pages in files and sandboxes have. */
static bool is_origin(struct span s)
{
    size_t scheme = span_find(s, ':', 0);
    struct span host = span_cut(s, scheme + 3, s.len);
    if (span_eq_str(s, "*") || span_eq_str(s, "null"))
        return true;
    if ((span_starts_with(s, SPAN("https://")) && ends_with(host, SPAN(":443"))) ||
        (span_starts_with(s, SPAN("http://")) && ends_with(host, SPAN(":80"))))
        return false;
    return scheme > 0 && span_starts_with(span_cut(s, scheme, 3), SPAN("://")) && host.len > 0 &&
           span_find(host, '/', 0) == host.len;
}

static void check_websocket(const struct listener_config *l, size_t i, struct buf *problem)
{
    if (l->path[0] != '/' || strchr(l->path, '?') != NULL)
        put_fmt(problem, "listeners[%zu]: `path` begins with '/' and holds no '?', unlike %s\n", i, l->path);
    if (l->transport != TRANSPORT_WEBSOCKET && l->origins.count > 0)
        put_fmt(problem, "listeners[%zu]: `origins` means something with `transport: websocket` only\n", i);
    if (l->transport != TRANSPORT_WEBSOCKET && strcmp(l->path, WS_PATH) != 0)
        put_fmt(problem, "listeners[%zu]: `path` means something with `transport: websocket` only\n", i);
    for (size_t k = 0; k < l->origins.count; k++)
        if (!is_origin(span_of_str(l->origins.items[k])))
            put_fmt(problem,
                    "listeners[%zu]: origins[%zu] is not of the form https://HOST or https://HOST:PORT, the "
                    "port only "
                    "where it is not the usual one\n",
                    i, k + 1);
}

/* `i` counts from 1, as in the problems that the reader of the file finds. */
static void check_listener(const struct listener_config *l, size_t i, struct buf *problem)
{
    if (l->tls && (l->certificate == NULL || l->key == NULL))
        put_fmt(problem, "listeners[%zu]: TLS needs `certificate` and `key`\n", i);
    if (!l->tls && !is_loopback(l->address))
        put_fmt(problem, "listeners[%zu]: without TLS only a loopback address is allowed, not %s\n", i,
                l->address);
    check_websocket(l, i, problem);
    if (l->client_certificate != CLIENT_CERTIFICATE_NONE && l->client_ca == NULL)
        put_fmt(problem, "listeners[%zu]: `client_certificate` needs `client_ca`\n", i);
}

/* A pin that is not a thumbprint would quietly lock out every key. */
static void check_pins(const struct as_config *as, size_t i, struct buf *problem)
{
    for (size_t k = 0; k < as->jwks_pins.count; k++) {
        CLEANUP(buf_done)
        struct buf raw;
        buf_init(&raw, JWK_THUMBPRINT_LEN);
        if (base64url_decode(span_of_str(as->jwks_pins.items[k]), &raw, NULL) != ST_OK ||
            raw.len != JWK_THUMBPRINT_LEN)
            put_fmt(problem,
                    "authorization_servers[%zu]: jwks_pins[%zu] is not base64url of 32 bytes (RFC 7638)\n", i,
                    k + 1);
    }
}

static void check_as(const struct as_config *as, size_t i, struct buf *problem)
{
    if (as->jwks_uri == NULL && as->jwks_file == NULL && as->introspection_uri == NULL &&
        as->token_key_file == NULL)
        put_fmt(problem,
                "authorization_servers[%zu]: give `jwks_uri`, `jwks_file`, `token_key_file` or "
                "`introspection_uri`, or no token can be checked\n",
                i);
    if (as->jwks_uri != NULL && as->jwks_file != NULL)
        put_fmt(problem, "authorization_servers[%zu]: `jwks_uri` or `jwks_file`, not both\n", i);
    if (!is_https(as->jwks_uri) || !is_https(as->introspection_uri) || !is_https(as->revocation_uri))
        put_fmt(problem,
                "authorization_servers[%zu]: `jwks_uri`, `introspection_uri` and `revocation_uri` must be "
                "https (MT-3)\n",
                i);
    if ((as->introspection_uri != NULL || as->revocation_uri != NULL) &&
        (as->client_id == NULL || as->client_secret_file == NULL))
        put_fmt(problem,
                "authorization_servers[%zu]: introspection and revocation need `client_id` and "
                "`client_secret_file` (AF-80)\n",
                i);
    if (as->pinned_pubkey != NULL && !span_starts_with(span_of_str(as->pinned_pubkey), SPAN("sha256//")))
        put_fmt(problem, "authorization_servers[%zu]: `pinned_pubkey` must begin with sha256//\n", i);
    check_pins(as, i, problem);
}

static void check_memory(const struct broker_config *c, struct buf *problem)
{
    if (c->memory_low >= c->memory_high)
        put_str(problem, "limits.memory_low: must be less than `limits.memory_high`\n");
    if (c->max_memory > 0 && c->max_memory < MEMORY_LEAST)
        put_str(problem, "limits.memory: at least 16m; 0 takes `limits.memory_share`\n");
    if (c->max_unfinished_bytes > 0 && c->max_unfinished_bytes < c->max_packet_bytes)
        put_str(problem, "limits.unfinished: must have room for one packet of `limits.packet`, or be 0\n");
}

/* Each by itself, so that the complaint names the one that is wrong. */
static void check_public_topic(const struct public_topic_config *topic, size_t i, struct buf *problem)
{
    struct scope *scope = NULL;
    struct why why;

    if (!topic->publish && !topic->subscribe)
        put_fmt(problem, "public_topics[%zu]: neither `publish` nor `subscribe`\n", i);
    else if (broker_config_public_scope(topic, 1, &scope, &why) != ST_OK)
        put_fmt(problem, "public_topics[%zu]: %s: %s (%s)\n", i, topic->filter, why.text, why.clause);
    scope_unref(scope);
}

static void check_mqtt(const struct broker_config *c, struct buf *problem)
{
    struct why why;

    if (c->response_topic_prefix != NULL &&
        response_info_check(span_of_str(c->response_topic_prefix), &why) != ST_OK)
        put_fmt(problem, "response_topic_prefix: %s (%s)\n", why.text, why.clause);
    if (c->server_reference != NULL &&
        (*c->server_reference == '\0' || strlen(c->server_reference) > UINT16_MAX))
        put_str(problem, "server_reference: empty, or too long for MQTT\n");
}

/* No folder is taken for granted: what is promised to be kept must not land where nobody looks after it. */
static void check_durability(const struct broker_config *c, struct buf *problem)
{
    if (c->durability != DURABILITY_NONE && c->state_dir == NULL)
        put_str(problem,
                "durability: sessions and retained messages are to be kept on disk, but not said where: write "
                "`state_dir: FOLDER`, a folder of this broker's own, or `durability: none`, and they end with "
                "the process\n");
}

static void check_exempt(const struct broker_config *c, struct buf *problem)
{
    struct net_prefix prefix;

    for (size_t i = 0; i < c->hostile_exempt.count; i++)
        if (!net_prefix_parse(c->hostile_exempt.items[i], &prefix))
            put_fmt(problem, "hostile.exempt[%zu]: not an IPv4 address or network, nor one of IPv6 up to /64\n",
                    i + 1);
}

static enum status check(const void *settings, struct buf *problem)
{
    const struct broker_config *c = settings;
    const struct public_topic_config *topics = c->public_topics.items;
    size_t before = problem->len;

    check_mqtt(c, problem);
    check_memory(c, problem);
    check_exempt(c, problem);
    check_durability(c, problem);
    for (size_t i = 0; i < c->listeners.count; i++)
        check_listener(listener_config_at(c, i), i + 1, problem);
    for (size_t i = 0; i < c->authorization_servers.count; i++)
        check_as(as_config_at(c, i), i + 1, problem);
    if (c->authorization_servers.count > 0 && c->audiences.count == 0)
        put_str(problem, "audiences: at least one, or no token would be meant for this broker (AF-63)\n");
    if (c->revocation_max_stale_s > 0 &&
        c->revocation_max_stale_s * MS_PER_S <= c->revocation_wait_s * MS_PER_S + c->as_timeout_ms)
        put_str(problem,
                "revocation.max_stale: must be longer than `revocation.wait` and `token.as_timeout` together, "
                "or a server that has nothing to say is taken for a silent one\n");
    for (size_t i = 0; i < c->public_topics.count; i++)
        check_public_topic(&topics[i], i + 1, problem);
    bridge_config_check(&c->bridges, problem);
    if (c->bridge_node != NULL && !bridge_node_ok(c->bridge_node))
        put_str(problem, "bridge_node: 1 to 20 letters, digits, - and _\n");
    return problem->len == before ? ST_OK : ST_MALFORMED;
}

const struct config_table broker_config_table = { "symbolon-broker", rows, sizeof(struct broker_config),
                                                  check };
