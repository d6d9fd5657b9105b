/* One JSON object a line on standard output: what the demo and its checks read. */
#ifndef STORY_EVENT_H
#define STORY_EVENT_H

#include <stdbool.h>
#include <stdint.h>

#include <erab/types.h>

/* event_begin ... event_end make one line; texts are escaped, bytes outside of printable ASCII too. */
void event_begin(const char *event, const char *party);
void event_text(const char *name, const char *value); /* NULL and "" are left out */
void event_id(const char *name, const uint8_t id[ERAB_ID_SIZE]);
void event_number(const char *name, double value);
void event_count(const char *name, uint64_t value);
void event_flag(const char *name, bool value);
void event_end(void);

#endif
