#include "client/store_dir.h"

#include "client/private_file.h"
#include "store/sql.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

struct store_dir {
    struct sql *sql;
    int lock;
    size_t max_bytes, bytes;
    int64_t last_rank;
    bool changing; /* inside a transaction */
};

/* `rank` orders the rows of one state: the id, or for released messages the order of their PUBRECs. */
static const struct sql_migration steps[] = {
    { 1, "messages on their way",
      "CREATE TABLE owner (client_id TEXT NOT NULL, session INTEGER NOT NULL);"
      "CREATE TABLE message (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, rank INTEGER NOT NULL,"
      " packet_id INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, expiry_s INTEGER,"
      " taken_s INTEGER NOT NULL, topic BLOB NOT NULL, properties BLOB NOT NULL, payload BLOB NOT NULL);"
      "CREATE TABLE received (packet_id INTEGER PRIMARY KEY);" },
};

/* ---- changes ---- */

static enum status begin(struct store_dir *s)
{
    if (s->changing)
        return ST_OK;
    enum status st = sql_begin(s->sql, NULL);
    s->changing = st == ST_OK;
    return st;
}

static size_t row_bytes(const struct outgoing *o)
{
    return STORE_ROW_BYTES + o->topic.len + o->properties.len + o->payload.len;
}

static struct sql_value blob(struct span s)
{
    return s.len > 0 ? SQL_BLOB(s) : SQL_BLOB(SPAN("")); /* empty is not NULL */
}

static enum status put(void *ctx, const struct outgoing *o, struct now now)
{
    struct store_dir *s = ctx;

    if (s->bytes + row_bytes(o) > s->max_bytes)
        return ST_QUOTA;
    enum status st = begin(s);
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "INSERT INTO message (id, state, rank, packet_id, qos, retain, expiry_s, taken_s, topic,"
                     " properties, payload) VALUES ($1, 0, $1, 0, $2, $3, $4, $5, $6, $7, $8)",
                     NULL, NULL, SQL_I64(o->id), SQL_I64(o->qos), SQL_I64(o->retain),
                     o->has_expiry ? SQL_I64(o->expiry_s) : SQL_NULL, SQL_I64(now.wall.s), blob(o->topic),
                     blob(o->properties), blob(o->payload));
    if (st == ST_OK)
        s->bytes += row_bytes(o);
    return st;
}

static enum status freed(void *ctx, const struct sql_row *row)
{
    struct store_dir *s = ctx;

    s->bytes -= (size_t)sql_i64(row, 0) + STORE_ROW_BYTES;
    return ST_OK;
}

static enum status note(void *ctx, enum store_change what, uint64_t id, uint16_t packet_id)
{
    struct store_dir *s = ctx;
    enum status st = begin(s);

    if (st != ST_OK)
        return st;
    switch (what) {
    case STORE_SENT:
        return sql_run(s->sql, "UPDATE message SET state = 1, packet_id = $2 WHERE id = $1", NULL, NULL,
                       SQL_I64(id), SQL_I64(packet_id));
    case STORE_RELEASED:
        return sql_run(s->sql, "UPDATE message SET state = 2, rank = $2 WHERE id = $1", NULL, NULL, SQL_I64(id),
                       SQL_I64(++s->last_rank));
    case STORE_QUEUED:
        return sql_run(s->sql, "UPDATE message SET state = 0, rank = id, packet_id = 0 WHERE id = $1", NULL,
                       NULL, SQL_I64(id));
    case STORE_GONE:
        return sql_query(s->sql,
                         "DELETE FROM message WHERE id = $1"
                         " RETURNING length(topic) + length(properties) + length(payload)",
                         freed, s, NULL, SQL_I64(id));
    case STORE_RECEIVED:
        return sql_run(s->sql, "INSERT OR IGNORE INTO received (packet_id) VALUES ($1)", NULL, NULL,
                       SQL_I64(packet_id));
    case STORE_RECEIVED_GONE:
        return sql_run(s->sql, "DELETE FROM received WHERE packet_id = $1", NULL, NULL, SQL_I64(packet_id));
    case STORE_SESSION_NEW:
        break;
    }
    st = sql_run(s->sql, "DELETE FROM received", NULL, NULL);
    return st != ST_OK ? st : sql_run(s->sql, "UPDATE owner SET session = 1", NULL, NULL);
}

static enum status commit(void *ctx)
{
    struct store_dir *s = ctx;

    if (!s->changing)
        return ST_OK;
    enum status st = sql_commit(s->sql, NULL);
    if (st != ST_OK)
        sql_rollback(s->sql);
    s->changing = false;
    return st;
}

const struct engine_store store_dir_functions = { .put = put, .note = note, .commit = commit };

/* ---- reading ---- */

#define ALL_MESSAGES                                                                                      \
    "SELECT id, state, packet_id, qos, retain, expiry_s, taken_s, topic, properties, payload, rank FROM " \
    "message"                                                                                             \
    " ORDER BY rank, id"
#define ALL_RECEIVED "SELECT packet_id FROM received"

enum { ID, STATE, PACKET_ID, QOS, RETAIN, EXPIRY, TAKEN, TOPIC, PROPERTIES_OF, PAYLOAD, RANK };

struct reading {
    struct store_dir *store;
    struct engine *engine; /* NULL: only look whether it can be read */
    struct now now;
};

static bool is_packet_id(int64_t v)
{
    return v >= 1 && v <= UINT16_MAX;
}

static bool row_ok(const struct sql_row *row)
{
    struct topic_name topic;
    int64_t state = sql_i64(row, STATE), qos = sql_i64(row, QOS), expiry = sql_i64(row, EXPIRY);

    return sql_i64(row, ID) > 0 && state >= OUT_QUEUED && state <= OUT_RELEASED &&
           (state == OUT_QUEUED || is_packet_id(sql_i64(row, PACKET_ID))) && qos >= 1 && qos <= 2 &&
           (state != OUT_RELEASED || qos == 2) && expiry >= 0 && expiry <= UINT32_MAX &&
           topic_name_parse(sql_bytes(row, TOPIC), &topic, NULL) == ST_OK &&
           sql_bytes(row, PAYLOAD).len <= MQTT_REMAINING_LENGTH_MAX;
}

static enum status read_message(void *ctx, const struct sql_row *row)
{
    struct reading *r = ctx;
    struct outgoing *o;
    int64_t waited_s = r->now.wall.s - sql_i64(row, TAKEN);

    if (!row_ok(row))
        return ST_MALFORMED;
    if (r->engine == NULL)
        return ST_OK;
    o = outgoing_of_parts(sql_bytes(row, TOPIC), sql_bytes(row, PROPERTIES_OF), sql_bytes(row, PAYLOAD));
    if (o == NULL)
        return ST_NO_MEMORY;
    o->id = (uint64_t)sql_i64(row, ID);
    o->state = (enum outgoing_state)sql_i64(row, STATE);
    o->packet_id = (uint16_t)sql_i64(row, PACKET_ID);
    o->qos = (uint8_t)sql_i64(row, QOS);
    o->retain = sql_i64(row, RETAIN) != 0;
    o->has_expiry = !sql_is_null(row, EXPIRY);
    o->expiry_s = (uint32_t)sql_i64(row, EXPIRY);
    o->taken_at = mono_plus_ms(r->now.mono, waited_s > 0 ? -waited_s * MS_PER_S : 0);
    r->store->bytes += row_bytes(o);
    if (sql_i64(row, RANK) > r->store->last_rank)
        r->store->last_rank = sql_i64(row, RANK);
    return engine_restore_message(r->engine, o);
}

static enum status read_received(void *ctx, const struct sql_row *row)
{
    struct reading *r = ctx;

    if (!is_packet_id(sql_i64(row, 0)))
        return ST_MALFORMED;
    return r->engine == NULL ? ST_OK : engine_restore_received(r->engine, (uint16_t)sql_i64(row, 0));
}

static enum status read_all(struct reading *r)
{
    enum status st = sql_query(r->store->sql, ALL_MESSAGES, read_message, r, NULL);

    return st != ST_OK ? st : sql_query(r->store->sql, ALL_RECEIVED, read_received, r, NULL);
}

static enum status read_session(void *ctx, const struct sql_row *row)
{
    if (sql_i64(row, 0) != 0)
        engine_restore_session(ctx);
    return ST_OK;
}

enum status store_dir_load(struct store_dir *store, struct engine *engine, struct now now, struct why *why)
{
    struct reading r = { store, engine, now };
    enum status st = read_all(&r);

    if (st == ST_OK)
        st = sql_query(store->sql, "SELECT session FROM owner", read_session, engine, why);
    return st == ST_OK ? ST_OK : reject(why, st, "store_dir", "the messages in it cannot be read", 0);
}

/* ---- opening ---- */

static enum status expect_ok(void *ctx UNUSED, const struct sql_row *row)
{
    return span_eq_str(sql_bytes(row, 0), "ok") ? ST_OK : ST_INTERNAL;
}

struct owner {
    const char *client_id;
    bool known;
};

static enum status same_owner(void *ctx, const struct sql_row *row)
{
    struct owner *o = ctx;

    o->known = true;
    return span_eq_str(sql_bytes(row, 0), o->client_id) ? ST_OK : ST_DENIED;
}

static enum status take_ownership(struct sql *sql, const char *client_id, struct why *why)
{
    struct owner owner = { client_id, false };
    enum status st = sql_query(sql, "SELECT client_id FROM owner", same_owner, &owner, why);

    if (st == ST_DENIED)
        return reject(why, st, "store_dir", "it holds the messages of another Client Identifier", 0);
    if (st != ST_OK || owner.known)
        return st;
    return sql_run(sql, "INSERT INTO owner (client_id, session) VALUES ($1, 0)", NULL, why,
                   SQL_TEXT(span_of_str(client_id)));
}

static enum status open_file(struct store_dir *s, const struct store_dir_settings *settings, const char *path,
                             struct why *why)
{
    struct reading look = { .store = s };
    enum status st = sql_open(path, SQL_QUIET | (settings->fsync ? SQL_DURABLE : 0), &s->sql, why);

    if (st == ST_OK)
        st = sql_query(s->sql, "PRAGMA quick_check(1)", expect_ok, NULL, why);
    if (st == ST_IO && s->sql != NULL) /* nobody else has it open: a file cut short */
        st = ST_INTERNAL;
    if (st == ST_OK)
        st = sql_migrate(s->sql, steps, COUNT_OF(steps), why);
    if (st == ST_OK)
        st = read_all(&look);
    if (st == ST_OK)
        st = take_ownership(s->sql, settings->client_id, why);
    if (st != ST_OK) {
        sql_close(s->sql);
        s->sql = NULL;
    }
    return st;
}

/* Beside it, for somebody to look at: its messages are not ours to throw away. */
static enum status set_aside(const char *path, struct now now, struct why *why)
{
    static const char *const parts[] = { "", "-wal", "-shm" };
    char from[PATH_MAX], to[PATH_MAX + 64];

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        snprintf(from, sizeof from, "%s%s", path, parts[i]);
        snprintf(to, sizeof to, "%s.damaged-%lld%s", path, (long long)now.wall.s, parts[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            return reject(why, ST_IO, "store_dir", "a damaged file could not be set aside", 0);
    }
    return ST_OK;
}

static bool damaged(enum status st)
{
    return st == ST_INTERNAL || st == ST_MALFORMED;
}

static enum status lock(struct store_dir *s, const char *dir, struct why *why)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s/lock", dir);
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0)
        return reject(why, ST_IO, "store_dir", "its lock file cannot be opened", 0);
    if (flock(s->lock, LOCK_EX | LOCK_NB) != 0)
        return reject(why, ST_EXISTS, "store_dir", "another client is using it", 0);
    return ST_OK;
}

enum status store_dir_open(const struct store_dir_settings *settings, struct now now,
                           struct store_dir **ret_store, bool *ret_damaged, struct why *why)
{
    struct store_dir *s = calloc(1, sizeof *s);
    char path[PATH_MAX];

    *ret_damaged = false;
    if (s == NULL)
        return reject(why, ST_NO_MEMORY, "store_dir", "out of memory", 0);
    s->lock = -1;
    s->max_bytes = settings->max_bytes;
    enum status st = strlen(settings->dir) < PATH_MAX - 64
                         ? private_folder_own(settings->dir, why)
                         : reject(why, ST_TOO_LARGE, "store_dir", "the name of the folder is too long", 0);
    snprintf(path, sizeof path, "%s/messages.db", settings->dir);
    if (st == ST_OK)
        st = lock(s, settings->dir, why);
    if (st == ST_OK)
        st = open_file(s, settings, path, why);
    if (damaged(st)) {
        st = set_aside(path, now, why);
        if (st == ST_OK)
            st = open_file(s, settings, path, why);
        *ret_damaged = st == ST_OK;
    }
    if (st != ST_OK) {
        store_dir_close(s);
        return st;
    }
    *ret_store = s;
    return ST_OK;
}

void store_dir_close(struct store_dir *store)
{
    if (store == NULL)
        return;
    if (store->sql != NULL && store->changing)
        sql_rollback(store->sql);
    sql_close(store->sql);
    if (store->lock >= 0)
        close(store->lock);
    free(store);
}
