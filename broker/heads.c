/* Heads of the audit log: ours go to the parties that the configuration names, theirs stand in our log. A cut
 * tail is found only so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/cleanup.h"
#include "pipeline.h"
#include "record.h"

#define HEAD_LIFE_MS 86400000u

static int send_head(struct erabi_pipeline *pipeline, const struct erabi_audit_head *head, const char *to)
{
    uint64_t now = erabi_now_ms(pipeline->loop);
    struct erab_header header = {.type = ERAB_AUDIT_HEAD,
                                 .category = ERAB_SECURITY,
                                 .issued_at_ms = now,
                                 .expires_at_ms = now + HEAD_LIFE_MS,
                                 .seq = erabi_pipeline_next_seq(pipeline, to),
                                 .version = 1};
    uint8_t log[16], bytes[ERAB_HEADER_MAX], signature[ERAB_SIGNATURE_SIZE], hash[ERAB_HASH_SIZE];
    size_t n;
    if (sodium_hex2bin(log, sizeof(log), head->log, strlen(head->log), NULL, &n, NULL) < 0 || n != sizeof(log))
        return -EINVAL;
    erab_id_new(header.id, now);
    erabi_copy_text(header.from, sizeof(header.from), pipeline->owner->party);
    erabi_copy_text(header.to, sizeof(header.to), to);
    erabi_copy_bytes(hash, head->hash, sizeof(hash));
    Erab__V1__AuditHead body = ERAB__V1__AUDIT_HEAD__INIT;
    body.log = (ProtobufCBinaryData){sizeof(log), log};
    body.seq = head->seq;
    body.hash = (ProtobufCBinaryData){sizeof(hash), hash};
    body.at_ms = head->time_ms;
    _free_ uint8_t *packed = NULL;
    int r = erab_body_pack(&body.base, &packed, &n);
    if (r < 0)
        return r;
    struct erabi_envelope envelope = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                                      .body = erabi_slice(packed, n),
                                      .signature = erabi_slice(signature, sizeof(signature))};
    erabi_envelope_sign(envelope.header, envelope.body, pipeline->owner->sign_secret, signature);
    erabi_pipeline_originate(pipeline, &header, &envelope);
    return 0;
}

void erabi_heads_send(struct erabi_pipeline *pipeline, const struct erabi_audit_head *head)
{
    const struct erabi_config_heads *heads = &pipeline->config->heads;
    for (size_t i = 0; i < heads->n_to; i++)
        send_head(pipeline, head, heads->to[i]);
}

void erabi_heads_take(struct erabi_pipeline *pipeline, const struct erab_header *header,
                      const Erab__V1__AuditHead *head)
{
    char log[33], hash[65];
    if (head->log.len != 16 || head->hash.len != ERAB_HASH_SIZE)
        return;
    sodium_bin2hex(log, sizeof(log), head->log.data, head->log.len);
    sodium_bin2hex(hash, sizeof(hash), head->hash.data, head->hash.len);
    struct erabi_audit_field fields[] = {
        {.name = "of", .text = header->from},
        {.name = "log", .text = log},
        {.name = "head_seq", .number = head->seq},
        {.name = "head_hash", .text = hash},
        {.name = "head_time_ms", .number = head->at_ms},
    };
    erabi_audit_write(pipeline->audit, "peer-head", fields, sizeof(fields) / sizeof(fields[0]));
}
