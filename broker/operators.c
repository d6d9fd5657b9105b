/* A signed statement counts once: each must be later than all that were taken of its operator, and what was taken
 * survives a restart. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "record.h"

static struct erabi_operator_mark *find(struct erabi_broker *broker, const char *name)
{
    for (size_t i = 0; i < broker->n_marks; i++)
        if (strcmp(broker->marks[i].name, name) == 0)
            return &broker->marks[i];
    return NULL;
}

/* Of a person whose statements of then are too old by now anyway. */
static bool over(const struct erabi_broker *broker, const struct erabi_operator_mark *mark)
{
    return mark->at_ms + ERABI_STATEMENT_LIFE_MS < erabi_now_ms(&broker->loop);
}

static struct erabi_operator_mark *make(struct erabi_broker *broker, const char *name)
{
    struct erabi_operator_mark *mark = NULL;
    if (broker->n_marks < ERABI_OPERATOR_MARKS)
        mark = &broker->marks[broker->n_marks++];
    for (size_t i = 0; !mark && i < broker->n_marks; i++)
        if (over(broker, &broker->marks[i]))
            mark = &broker->marks[i];
    if (mark) {
        *mark = (struct erabi_operator_mark){.at_ms = 0};
        erabi_copy_text(mark->name, sizeof(mark->name), name);
    }
    return mark;
}

static void keep(struct erabi_broker *broker, const struct erabi_operator_mark *mark, bool gone)
{
    char key[sizeof(ERABI_OPERATOR_STATE) + ERAB_PARTY_MAX];
    uint8_t bytes[8];
    struct erabi_writer w = erabi_writer(bytes, sizeof(bytes));
    erabi_write_u64(&w, mark->at_ms);
    snprintf(key, sizeof(key), ERABI_OPERATOR_STATE "%s", mark->name);
    /* In the journal before the act that it is about: where that is kept, so is this. */
    erabi_journal_state(broker->journal, key, erabi_slice(bytes, gone ? 0 : sizeof(bytes)), NULL, NULL);
}

void erabi_operators_load(struct erabi_broker *broker, const char *name, struct erabi_slice value)
{
    struct erabi_reader r = erabi_reader(value.data, value.size);
    struct erabi_operator_mark read = {.at_ms = erabi_read_u64(&r)};
    if (!erabi_reader_done(&r) || !erabi_copy_text(read.name, sizeof(read.name), name))
        return;
    if (over(broker, &read)) {
        keep(broker, &read, true);
        return;
    }
    struct erabi_operator_mark *mark = find(broker, name);
    if (mark || (mark = make(broker, name)))
        *mark = read;
}

static int take_once(struct erabi_broker *broker, const struct erabi_statement *s, const char **error)
{
    uint64_t at = (uint64_t)json_integer_value(json_object_get(s->text, "at_ms"));
    struct erabi_operator_mark *mark = find(broker, s->operator);
    if (mark && at <= mark->at_ms) {
        *error = "this operator's statement of that time, or a later one, was taken before; sign a new one, and if that is "
                 "refused too, this operator's clock went back";
        return -EACCES;
    }
    if (!mark && !(mark = make(broker, s->operator))) {
        *error = "too many operators made statements in the last day";
        return -EACCES;
    }
    mark->at_ms = at;
    keep(broker, mark, false);
    return 0;
}

void erabi_operators_rewind(struct erabi_broker *broker)
{
    uint64_t now = erabi_now_ms(&broker->loop);
    for (size_t i = 0; i < broker->n_marks; i++) {
        if (broker->marks[i].at_ms <= now + ERAB_CLOCK_AHEAD_MS)
            continue;
        broker->marks[i].at_ms = now;
        keep(broker, &broker->marks[i], false);
    }
}

bool erabi_operator_statement(struct erabi_broker *broker, struct erabi_statement *s, const json_t *request,
                              const char *act, uint64_t now_ms, const char **error)
{
    int r = erabi_statement_read(s, request, broker->config, act, now_ms, error);
    if (r == 0 && (r = take_once(broker, s, error)) < 0)
        erabi_statement_deinit(s);
    if (r < 0)
        erabi_record_party(broker->audit, act, "", "refused", "", "", "");
    return r == 0;
}

const json_t *erabi_operator_request(struct erabi_broker *broker, struct erabi_statement *s, const json_t *request,
                                     const char *act, const char **error)
{
    erabi_loop_read(&broker->loop);
    if (broker->config->n_operators == 0 && !json_object_get(request, "statement"))
        return request;
    return erabi_operator_statement(broker, s, request, act, erabi_now_ms(&broker->loop), error) ? s->text : NULL;
}

void erabi_operator_record(struct erabi_broker *broker, const char *act, const char *object, const char *verdict,
                           const struct erabi_statement *s)
{
    erabi_record_party(broker->audit, act, object, verdict, s->operator ? s->operator : "", s->raw ? s->raw : "",
                       s->signature ? s->signature : "");
}
