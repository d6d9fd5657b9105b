/* What a body tells about people, field by field (guideline 3.7), and leaving out what a recipient may not have.
 * The table is schemas/erab/v1/privacy_fields.h; the policy `privacy` of a broker judges by the same one, so
 * that what was masked here passes there. Masking comes before signing: erab_client_send packs and signs what
 * it is given. Any thread. */
#ifndef ERAB_PRIVACY_H
#define ERAB_PRIVACY_H

#include <erab/message.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ERAB_CATEGORY_BIT(category) (1u << (category))

struct erab_privacy_field {
    uint32_t size;
    const char *message; /* "TelemetryPoint" */
    const char *field;   /* "value" */
    enum erab_category category;
    bool is_subject;  /* names who or what the message is about */
    const char *text; /* of a subject, else NULL */
};

/* The categories that may pass on an interface when nobody decides otherwise: bits ERAB_CATEGORY_BIT. */
ERAB_API uint32_t erab_privacy_allowed(enum erab_interface interface);

/* The category of a field, measured values being of `stated` (the header's category). ERAB_PERSONAL for a field
 * that the table does not know: what is not classified does not pass. */
ERAB_API enum erab_category erab_privacy_category(const ProtobufCMessageDescriptor *message, const char *field,
                                                  enum erab_category stated);

/* Calls `each` for every field that is there, messages inside included, until it returns false. A sum of fewer
 * than `group_min` members is of ERAB_SENSOR_HOME, whatever is stated. true: all were gone through. */
ERAB_API bool erab_privacy_walk(const ProtobufCMessage *body, enum erab_category stated, uint32_t group_min,
                                bool (*each)(void *user, const struct erab_privacy_field *field), void *user);

/* Takes out of a body what is of none of the categories in `allowed`: optional fields become absent, lists empty,
 * needed texts "masked" and needed bytes empty. Pointers are overwritten, never freed: they stay whose they were.
 * The number of fields changed; or -EACCES when a needed number would have to go: the body must not be sent there,
 * and *field (may be NULL) names it. Then parts of the body may have been masked already. */
ERAB_API int erab_privacy_mask(ProtobufCMessage *body, enum erab_category stated, uint32_t allowed,
                               uint32_t group_min, const char **field);

#ifdef __cplusplus
}
#endif

#endif
