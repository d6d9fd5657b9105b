/* The store in SQLite: reading it back, and looking for what does not hold. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "base/cleanup.h"
#include "journal/store_sqlite.h"
#include "wire/wire.h"

struct erabi_slice erabi_store_column(sqlite3_stmt *st, int at)
{
    const void *data = sqlite3_column_blob(st, at);
    return erabi_slice(data, (size_t)sqlite3_column_bytes(st, at));
}

const char *erabi_store_text(sqlite3_stmt *st, int at)
{
    const unsigned char *text = sqlite3_column_text(st, at);
    return text ? (const char *)text : "";
}

/* SQLite alone reads a flipped bit as good: what is stored is measured against its hash. */
bool erabi_store_row_holds(struct erabi_slice id, struct erabi_slice hash, struct erabi_slice header,
                           struct erabi_slice body)
{
    if (id.size != ERAB_ID_SIZE || hash.size != ERAB_HASH_SIZE)
        return false;
    if (header.size == 0 || body.size == 0)
        return true;
    uint8_t again[ERAB_HASH_SIZE];
    erabi_envelope_hash(header, body, again);
    return erabi_slice_equal(hash, erabi_slice(again, sizeof(again)));
}

static int tell_mark(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = erabi_store_column(st, 0), hash = erabi_store_column(st, 1);
    struct erabi_journal_mark m = {
        .id = id.data,
        .hash = hash.data,
        .header = erabi_store_column(st, 2),
        .body = erabi_store_column(st, 3),
        .signature = erabi_store_column(st, 4),
        .from = erabi_store_text(st, 5),
        .type = (enum erab_type)sqlite3_column_int(st, 6),
        .state = (enum erab_receipt_state)sqlite3_column_int(st, 7),
        .reason = erab_reason_from_code(erabi_store_text(st, 8)),
        .expires_at_ms = (uint64_t)sqlite3_column_int64(st, 9),
        .keep_until_ms = (uint64_t)sqlite3_column_int64(st, 10),
        .cancelled = sqlite3_column_int(st, 11) != 0,
    };
    if (m.reason == ERAB_REASON_COUNT)
        m.reason = ERAB_REASON_INTERNAL;
    if (sqlite3_column_int(st, 14) && (!erabi_slice_equal(erabi_store_column(st, 12), erabi_store_column(st, 13)) ||
                                       !erabi_store_row_holds(id, hash, m.header, m.body)))
        return -EBADMSG;
    return load->on_mark(load->user, &m);
}

static int tell_pending(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = erabi_store_column(st, 3), hash = erabi_store_column(st, 4);
    struct erabi_journal_pending p = {
        .row = sqlite3_column_int64(st, 0),
        .to = erabi_store_text(st, 1),
        .expires_at_ms = (uint64_t)sqlite3_column_int64(st, 2),
        .id = id.data,
        .hash = hash.data,
        .header = erabi_store_column(st, 5),
        .body = erabi_store_column(st, 6),
        .signature = erabi_store_column(st, 7),
    };
    if (!erabi_store_row_holds(id, hash, p.header, p.body))
        return -EBADMSG;
    return load->on_pending(load->user, &p);
}

static int tell_member(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    struct erabi_slice id = erabi_store_column(st, 0), hash = erabi_store_column(st, 1), header = erabi_store_column(st, 2);
    struct erabi_journal_member m = {
        .id = id.data,
        .hash = hash.data,
        .header = header,
        .to = erabi_store_text(st, 4),
        .state = (enum erab_receipt_state)sqlite3_column_int(st, 5),
        .reason = erab_reason_from_code(erabi_store_text(st, 6)),
        .n = (size_t)sqlite3_column_int64(st, 7),
    };
    if (m.reason == ERAB_REASON_COUNT)
        m.reason = ERAB_REASON_INTERNAL;
    if (!erabi_store_row_holds(id, hash, header, erabi_store_column(st, 3)))
        return -EBADMSG;
    return load->on_member(load->user, &m);
}

static int tell_revoked(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    return load->on_revoked(load->user, erabi_store_text(st, 0));
}

static int tell_state(sqlite3_stmt *st, const struct erabi_journal_load *load)
{
    return load->on_state(load->user, erabi_store_text(st, 0), erabi_store_column(st, 1));
}

/* `damaged`: rows that do not hold are left out, and where the file ends to be readable this ends, too. */
static int each(sqlite3_stmt *st, int (*tell)(sqlite3_stmt *, const struct erabi_journal_load *),
                const struct erabi_journal_load *load, bool damaged)
{
    int r = 0, code = SQLITE_DONE;
    while (r == 0 && (code = sqlite3_step(st)) == SQLITE_ROW) {
        r = tell(st, load);
        if (r == -EBADMSG && damaged)
            r = 0;
    }
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    return r < 0 ? r : damaged ? 0 : erabi_store_fault(code);
}

int erabi_store_load(struct erabi_store *s, uint64_t now_ms, const struct erabi_journal_load *load, bool damaged)
{
    int r = 0;
    if (load->on_state) /* first: enrolled parties are states, and may be revoked */
        r = each(s->statements[S_STATES], tell_state, load, false);
    if (r == 0 && load->on_revoked)
        r = each(s->statements[S_REVOKED], tell_revoked, load, false);
    sqlite3_bind_int64(s->statements[S_MARKS], 1, (sqlite3_int64)now_ms);
    sqlite3_bind_int(s->statements[S_MARKS], 2, damaged); /* else each of them was found to hold when it was opened */
    if (r == 0 && load->on_mark)
        r = each(s->statements[S_MARKS], tell_mark, load, damaged);
    if (r == 0 && load->on_member && !damaged)
        r = each(s->statements[S_MEMBERS], tell_member, load, false);
    if (r == 0 && load->on_pending && !damaged)
        r = each(s->statements[S_PENDING], tell_pending, load, false);
    return r;
}
