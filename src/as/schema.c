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

/* What a resource server can be told apart by (registry.h), and refresh tokens (refresh.h). A CHECK cannot be changed in
 * place, so the table is made anew. */
static const char formats_and_refresh[] =
    "CREATE TABLE resource_server_new ("
    " id TEXT PRIMARY KEY REFERENCES principal (id) ON DELETE CASCADE, audience TEXT NOT NULL UNIQUE,"
    " token_format TEXT NOT NULL CHECK (token_format IN ('jwt', 'cwt', 'reference')),"
    " protection TEXT NOT NULL CHECK (protection IN ('auto', 'signed', 'encrypted', 'nested')),"
    " pop_keys TEXT NOT NULL, profiles TEXT NOT NULL, refresh INTEGER NOT NULL, lifetime_s INTEGER NOT NULL,"
    " exi INTEGER NOT NULL, exi_sequence INTEGER NOT NULL, secret_key BLOB, secret_kid TEXT,"
    " rs_jwk TEXT, rs_x5t BLOB);"
    "INSERT INTO resource_server_new SELECT id, audience, token_format, 'auto', 'EdDSA ES256 symmetric x5t',"
    " 'mqtt_tls', 0, lifetime_s, exi, exi_sequence, secret_key, secret_kid, rs_jwk, rs_x5t FROM "
    "resource_server;"
    "DROP TABLE resource_server;"
    "ALTER TABLE resource_server_new RENAME TO resource_server;"

    /* NULL: any profile. */
    "ALTER TABLE principal ADD COLUMN profiles TEXT;"
    "ALTER TABLE principal ADD COLUMN refresh INTEGER NOT NULL DEFAULT 0;"

    /* `cnf_kid` names an asymmetric key (its kid, or its thumbprint), `cnf_x5t` a certificate, `family` the refresh
     * token this one came with. */
    "ALTER TABLE token ADD COLUMN cnf_kid TEXT;"
    "ALTER TABLE token ADD COLUMN cnf_x5t BLOB;"
    "ALTER TABLE token ADD COLUMN profile TEXT NOT NULL DEFAULT 'mqtt_tls';"
    "ALTER TABLE token ADD COLUMN family TEXT;"
    /* 1: the client got it in CBOR, which is what its hash in the list of revoked tokens depends on (RFC 9770 4). */
    "ALTER TABLE token ADD COLUMN in_cbor INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX token_family ON token (family) WHERE family IS NOT NULL;"

    /* One row per family; `hash` is that of its newest token. */
    "CREATE TABLE refresh ("
    " family TEXT PRIMARY KEY, hash BLOB NOT NULL,"
    " client_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE,"
    " rs_id TEXT NOT NULL REFERENCES principal (id) ON DELETE CASCADE, scope TEXT NOT NULL,"
    " cnf TEXT, cnf_kid TEXT, cnf_x5t BLOB, pop_kid TEXT, profile TEXT NOT NULL, created_at INTEGER NOT NULL,"
    " used_at INTEGER NOT NULL, uses INTEGER NOT NULL, expires_at INTEGER NOT NULL);"
    "CREATE INDEX refresh_client ON refresh (client_id, family);"
    "CREATE INDEX refresh_rs ON refresh (rs_id);"
    "CREATE INDEX refresh_expires ON refresh (expires_at);";

/* What happened to tokens, for those it concerns (status.h), and the work that is left of it (status_work.h). */
static const char status_of_tokens[] =
    /* `trl_hash`: RFC 9770's hash of the token, where it is not `hash` (decision 0007). `changed_at`: its scope was
     * narrowed since it was issued. */
    "ALTER TABLE token ADD COLUMN trl_hash BLOB;"
    "ALTER TABLE token ADD COLUMN changed_at INTEGER;"
    /* The list is read from these alone: its tokens lie all over the table. */
    "CREATE INDEX token_revoked_rs ON token (rs_id, expires_at, hash, trl_hash) WHERE revoked_at IS NOT NULL;"
    "CREATE INDEX token_revoked_client ON token (client_id, expires_at, hash, trl_hash)"
    " WHERE revoked_at IS NOT NULL;"
    "CREATE INDEX token_revoked_over ON token (expires_at) WHERE revoked_at IS NOT NULL;"
    "CREATE INDEX token_changed_rs ON token (rs_id, expires_at, hash, trl_hash)"
    " WHERE changed_at IS NOT NULL AND revoked_at IS NULL;"
    "CREATE INDEX token_changed_client ON token (client_id, expires_at, hash, trl_hash)"
    " WHERE changed_at IS NOT NULL AND revoked_at IS NULL;"
    /* Work goes through the tokens of a resource server a piece at a time, as they lie in the table. */
    "DROP INDEX token_rs;"
    "CREATE INDEX token_rs ON token (rs_id, issued_at, jti);"

    "CREATE TABLE status_update (no INTEGER NOT NULL);"
    "INSERT INTO status_update (no) VALUES (0);"
    "CREATE TABLE status_reader ("
    " id TEXT PRIMARY KEY REFERENCES principal (id) ON DELETE CASCADE, last INTEGER NOT NULL,"
    " floor INTEGER NOT NULL, update_no INTEGER NOT NULL);"
    "CREATE TABLE status_change ("
    " reader TEXT NOT NULL REFERENCES status_reader (id) ON DELETE CASCADE, idx INTEGER NOT NULL,"
    " what INTEGER NOT NULL, hash BLOB NOT NULL, until INTEGER NOT NULL,"
    " PRIMARY KEY (reader, idx, what, hash)) WITHOUT ROWID;"
    "CREATE INDEX status_change_until ON status_change (until);"

    "CREATE TABLE status_work ("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, cause TEXT NOT NULL, revoke INTEGER NOT NULL,"
    " client_id TEXT NOT NULL, rs_id TEXT NOT NULL, group_name TEXT NOT NULL, bound_to TEXT NOT NULL, key BLOB,"
    " issued_until INTEGER NOT NULL, after_at INTEGER NOT NULL, after TEXT NOT NULL, revoked INTEGER NOT NULL, "
    "changed INTEGER NOT NULL);";

/* What each token adds to lies where the last one's lies, as far as it can (decision 0040): a page that is changed is a
 * page to be written. Assertions are remembered in the order in which they are over, by which they are also found: one
 * that comes again has the same end. */
static const char in_order_of_time[] =
    "CREATE TABLE replay_new (expires_at INTEGER NOT NULL, id BLOB NOT NULL, PRIMARY KEY (expires_at, id))"
    " WITHOUT ROWID;"
    "INSERT INTO replay_new SELECT expires_at, id FROM replay;"
    "DROP TABLE replay;"
    "ALTER TABLE replay_new RENAME TO replay;"
    /* One for both: counting a client's live tokens, and what it has kept, never opens their rows. */
    "DROP INDEX token_live;"
    "DROP INDEX token_client;"
    "CREATE INDEX token_client ON token (client_id, jti, expires_at, revoked_at);";

static const struct sql_migration steps[] = {
    { 1, "first", first },
    { 2, "formats and refresh", formats_and_refresh },
    { 3, "status of tokens", status_of_tokens },
    { 4, "in the order of time", in_order_of_time },
};

enum status as_schema(struct sql *sql, struct why *why)
{
    return sql_migrate(sql, steps, COUNT_OF(steps), why);
}

enum status as_schema_of_old(struct sql *sql, size_t number, struct why *why)
{
    ASSERT(number <= COUNT_OF(steps));
    return sql_migrate(sql, steps, number, why);
}
