#include "event.h"

#include <stdio.h>
#include <time.h>

#include <erab/message.h>

static void quoted(const char *text)
{
    putchar('"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if (*c < 0x20 || *c == 0x7f)
            printf("\\u%04x", *c);
        else
            putchar(*c);
    }
    putchar('"');
}

static void name_of(const char *name)
{
    putchar(',');
    quoted(name);
    putchar(':');
}

void event_begin(const char *event, const char *party)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    printf("{\"at_ms\":%lld", (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000);
    event_text("event", event);
    event_text("party", party);
}

void event_text(const char *name, const char *value)
{
    if (!value || !*value)
        return;
    name_of(name);
    quoted(value);
}

void event_id(const char *name, const uint8_t id[ERAB_ID_SIZE])
{
    char text[37];
    erab_id_text(id, text);
    event_text(name, text);
}

void event_number(const char *name, double value)
{
    name_of(name);
    printf("%.3f", value);
}

void event_count(const char *name, uint64_t value)
{
    name_of(name);
    printf("%llu", (unsigned long long)value);
}

void event_flag(const char *name, bool value)
{
    if (!value)
        return;
    name_of(name);
    printf("true");
}

void event_end(void)
{
    puts("}");
    fflush(stdout);
}
