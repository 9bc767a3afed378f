#include "as/schema.h"

/* Times are Unix seconds. Secrets are SHA-256 of 256 random bits: no salt or slow hash adds anything to that.
 * The AS-RS key has to be usable, so it is here in the clear: the file is 0600, as are the signing keys beside it. */
static const char first[] =
    /* Clients and resource servers: whoever authenticates here. One name space. */
    "CREATE TABLE principal ("
    " id TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('client', 'rs')), name TEXT NOT NULL,"
    " secret_hash BLOB, jwk TEXT, x5t BLOB, default_audience TEXT, created_at INTEGER NOT NULL);"

    "CREATE TABLE client_group ("
    " client_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE, name TEXT NOT NULL,"
    " PRIMARY KEY (client_id, name));"
    "CREATE INDEX client_group_name ON client_group (name);"

    "CREATE TABLE resource_server ("
    " id TEXT PRIMARY KEY REFERENCES principal (id) ON DELETE CASCADE, audience TEXT NOT NULL UNIQUE,"
    " token_format TEXT NOT NULL CHECK (token_format IN ('jwt', 'reference')), lifetime_s INTEGER NOT NULL,"
    " exi INTEGER NOT NULL, exi_sequence INTEGER NOT NULL, secret_key BLOB, secret_kid TEXT,"
    " rs_jwk TEXT, rs_x5t BLOB);"

    "CREATE TABLE policy ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, effect TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),"
    " subject TEXT NOT NULL, audience TEXT NOT NULL, filter TEXT NOT NULL, permissions INTEGER NOT NULL,"
    " created_at INTEGER NOT NULL, UNIQUE (audience, subject, effect, filter, permissions));"

    /* One small row per token until it is over. `hash` is SHA-256 of the token as the client got it. `pop_kid` names
     * a symmetric key (pop_key.h derives it again), `cnf` holds an asymmetric one. */
    "CREATE TABLE token ("
    " jti TEXT PRIMARY KEY, hash BLOB NOT NULL UNIQUE, client_id TEXT NOT NULL, rs_id TEXT NOT NULL,"
    " audience TEXT NOT NULL, format TEXT NOT NULL, scope TEXT NOT NULL, cnf TEXT, pop_kid TEXT, cnonce TEXT,"
    " exi INTEGER, issued_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER);"
    "CREATE INDEX token_client ON token (client_id, jti);"
    /* So that counting a client's live tokens, once per grant, never opens their rows. */
    "CREATE INDEX token_live ON token (client_id, expires_at) WHERE revoked_at IS NULL;"
    "CREATE INDEX token_rs ON token (rs_id);"
    "CREATE INDEX token_expires ON token (expires_at);"

    "CREATE TABLE replay (id BLOB PRIMARY KEY, expires_at INTEGER NOT NULL);"
    "CREATE INDEX replay_expires ON replay (expires_at);"

    "CREATE TABLE enrollment ("
    " id TEXT PRIMARY KEY, code_hash BLOB NOT NULL UNIQUE, client_id TEXT, groups TEXT NOT NULL, name TEXT NOT "
    "NULL,"
    " default_audience TEXT, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL);"

    "CREATE TABLE signing_key ("
    " kid TEXT PRIMARY KEY, created_at INTEGER NOT NULL, keep_until INTEGER);"

    /* Append only; each hash covers the one before. */
    "CREATE TABLE audit ("
    " seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, actor TEXT NOT NULL, event TEXT NOT NULL, subject TEXT NOT "
    "NULL,"
    " detail TEXT NOT NULL, hash BLOB NOT NULL);"
    "CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;"
    "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append only'); END;";

static const struct sql_migration steps[] = {
    { 1, "first", first },
};

enum status as_schema(struct sql *sql, struct why *why)
{
    return sql_migrate(sql, steps, COUNT_OF(steps), why);
}
