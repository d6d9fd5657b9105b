/* What an auditor may conclude from the log of cuts_under_churn alone. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "cuts_under_churn.h"

struct seen {
    bool open;
    int live;      /* opened and not yet closed or cut */
    int cut_going; /* cut, and `closed` has not come yet */
    int due;       /* connections that the last opening has to cut */
};

static unsigned faults, opened, cut, messages, late;

static void fault(const char *what, const char *line)
{
    if (faults++ < 20)
        printf("AUDIT: %s: %.300s\n", what, line);
}

static const char *text(const json_t *r, const char *name)
{
    const char *value = json_string_value(json_object_get(r, name));
    return value ? value : "";
}

/* The peer's number, from "ra00042"; -1: somebody else. */
static int number(const char *party)
{
    return strncmp(party, "ra", 2) == 0 && strlen(party) == 7 ? atoi(party + 2) : -1;
}

static void connection(struct seen *s, const json_t *r, const char *line)
{
    const char *verdict = text(r, "verdict"), *reason = text(r, "reason");
    if (strcmp(verdict, "opened") == 0) {
        s->live++;
        if (s->open)
            fault("let in while its link is open", line);
    } else if (strcmp(verdict, "closed") == 0) {
        if (s->cut_going)
            s->cut_going--;
        else
            s->live--;
    } else if (strcmp(verdict, "cut") == 0) {
        cut++;
        s->live--;
        s->cut_going++;
        s->due--;
        if (strcmp(reason, "breaker-open") != 0 || !s->open)
            fault("cut, and its link is not open", line);
    }
}

static void breaker(struct seen *s, const json_t *r, const char *line)
{
    if (s->due != 0)
        fault("the opening before cut too few or too many connections", line);
    s->open = strcmp(text(r, "state"), "open") == 0;
    s->due = s->open ? s->live : 0;
    opened += s->open ? 1 : 0;
    if (strcmp(text(r, "by"), "operator") != 0)
        fault("opened by itself", line);
}

/* Refusals of what came before the trip and was still on its way to the disk are right; nothing else is. */
static void message(struct seen *from, struct seen *to, const json_t *r, const char *line)
{
    bool refused = strcmp(text(r, "what"), "refused") == 0;
    messages++;
    if (!(from && from->open) && !(to && to->open))
        return;
    late += refused ? 1 : 0;
    if (!refused || strcmp(text(r, "reason"), "breaker-open") != 0)
        fault("processed after the audit line of its link", line);
}

unsigned audit_faults(const char *path, const char *hub, unsigned cuts)
{
    static struct seen peers[100000];
    static char line[65536 + 2];
    FILE *f = fopen(path, "r");
    if (!f)
        return 1;
    while (fgets(line, sizeof(line), f)) {
        json_t *r = json_loads(line, 0, NULL);
        const char *what = text(r, "what");
        int peer = number(text(r, "peer")), from = number(text(r, "from")), to = number(text(r, "to"));
        if (!r)
            fault("a record that cannot be read", line);
        else if (strcmp(what, "connection") == 0 && peer >= 0)
            connection(&peers[peer], r, line);
        else if (strcmp(what, "breaker") == 0 && peer >= 0 && strcmp(text(r, "party"), hub) == 0)
            breaker(&peers[peer], r, line);
        else if (strcmp(what, "message") == 0 || strcmp(what, "refused") == 0)
            message(from < 0 ? NULL : &peers[from], to < 0 ? NULL : &peers[to], r, line);
        json_decref(r);
    }
    fclose(f);
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
        if (peers[i].due)
            fault("an opening whose connections were not all cut", "at the end");
    if (opened != cuts || cut < cuts)
        fault("the log does not hold every trip and cut", "at the end");
    printf("audit log: %u openings, %u connections cut, %u messages judged, %u of them refused on their way\n", opened,
           cut, messages, late);
    return faults;
}

static int by_size(const void *x, const void *y)
{
    uint64_t a = *(const uint64_t *)x, b = *(const uint64_t *)y;
    return a < b ? -1 : a > b;
}

void tell_times(const char *what, uint64_t *ns, size_t n)
{
    qsort(ns, n, sizeof(uint64_t), by_size);
    if (n)
        printf("decision to closed descriptors, %s, us: p50 %.1f, p99 %.1f, most %.1f\n", what, (double)ns[n / 2] / 1e3,
               (double)ns[n * 99 / 100] / 1e3, (double)ns[n - 1] / 1e3);
}

void remove_run(const char *folder)
{
    static const char *const names[] = {"audit.jsonl",    "erabd.yaml",   "journal.db",   "journal.db-wal",
                                        "journal.db-shm", "hub.rest.key", "listener.key", "local.key",
                                        "local.sock",     "admin.sock",   "journal.db.head"};
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}
