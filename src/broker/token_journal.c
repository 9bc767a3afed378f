#include "broker/token_journal.h"

#include "record/record.h"
#include "store/kv_batch.h"

#include <stdlib.h>

#define KEY_LEN (2 + TOKEN_HASH_LEN)

struct token_journal {
    struct token_store *store;
    struct token_change *pending; /* taken from the store, in no batch yet; oldest first */
    bool under_way;
    uint64_t number; /* of the last change in the batch under way */
    uint32_t rows;
};

enum status token_journal_new(struct token_store *store, void (*wake)(void *ctx), void *ctx,
                              struct token_journal **ret_journal)
{
    struct token_journal *journal = calloc(1, sizeof *journal);

    if (journal == NULL)
        return ST_NO_MEMORY;
    journal->store = store;
    token_store_set_journal(store, wake, ctx);
    *ret_journal = journal;
    return ST_OK;
}

static void forget_pending(struct token_journal *journal)
{
    struct token_change *c;

    while ((c = journal->pending) != NULL) {
        journal->pending = c->next;
        token_change_free(c);
    }
}

void token_journal_free(struct token_journal *journal)
{
    if (journal == NULL)
        return;
    forget_pending(journal);
    free(journal);
}

/* ---- reading back ---- */

/* The letter of a kind on disk; never to be changed. */
static const char letters[TOKEN_CHANGE_KINDS] = {
    [TOKEN_KEPT] = 'k',
    [TOKEN_RECEIPT] = 'f',
    [TOKEN_SEQUENCE] = 'n',
    [TOKEN_REVOKED] = 'r',
};

struct span token_journal_prefix(unsigned nth)
{
    static const char prefixes[TOKEN_JOURNAL_KINDS][2] = { "tr", "tn", "tf", "tk" };

    return span_of(prefixes[nth], 2);
}

static bool kind_of(uint8_t letter, enum token_change_kind *ret)
{
    for (unsigned kind = 0; kind < TOKEN_CHANGE_KINDS; kind++)
        if (letters[kind] == (char)letter) {
            *ret = (enum token_change_kind)kind;
            return true;
        }
    return false;
}

static enum status drop(struct token_journal *journal, enum token_change_kind kind, const uint8_t *id)
{
    struct token_change *change = calloc(1, sizeof *change);

    if (change == NULL)
        return ST_NO_MEMORY;
    change->kind = kind;
    change->gone = true;
    memcpy(change->id, id, TOKEN_HASH_LEN);
    change->next = journal->pending;
    journal->pending = change;
    return ST_OK;
}

enum status token_journal_read(struct token_journal *journal, struct span key, struct span value,
                               struct now now)
{
    enum token_change_kind kind;
    enum status st;

    if (key.len != KEY_LEN || !kind_of(key.p[1], &kind))
        return ST_OK; /* not ours to understand, nor to delete */
    st = token_store_restore(journal->store, kind, key.p + 2, value, now);
    if (st == ST_NOT_FOUND)
        return drop(journal, kind, key.p + 2);
    if (st == ST_OK)
        journal->rows++;
    return st; /* without memory the row stays: a token that was revoked would be good again */
}

uint32_t token_journal_rows(const struct token_journal *journal)
{
    return journal->rows;
}

/* ---- writing ---- */

static enum status put(const struct token_change *c, struct kv_batch *batch)
{
    uint8_t key[KEY_LEN] = { RECORD_TOKEN, (uint8_t)letters[c->kind] };

    memcpy(key + 2, c->id, TOKEN_HASH_LEN);
    if (c->gone)
        return kv_batch_del(batch, span_of(key, KEY_LEN));
    return kv_batch_put(batch, span_of(key, KEY_LEN), span_of(c->record, c->record_len));
}

enum status token_journal_seal(struct token_journal *journal, struct kv_batch *batch)
{
    struct kv_mark mark = kv_batch_mark(batch);
    uint64_t last = journal->number;
    enum status st = ST_OK;

    if (journal->under_way)
        return ST_OK;
    if (journal->pending == NULL)
        journal->pending = token_store_take_changes(journal->store);
    for (const struct token_change *c = journal->pending; st == ST_OK && c != NULL; c = c->next) {
        last = c->number > last ? c->number : last;
        st = put(c, batch);
    }
    if (st != ST_OK) {
        kv_batch_rewind(batch, mark);
        return st;
    }
    journal->under_way = journal->pending != NULL;
    journal->number = last;
    forget_pending(journal);
    return ST_OK;
}

void token_journal_stored(struct token_journal *journal)
{
    journal->under_way = false;
    token_store_committed(journal->store, journal->number);
}
