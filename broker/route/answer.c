#include "route/answer.h"

#include <stdlib.h>

#include "base/cleanup.h"

#define RETRY_AFTER_MS 1000u

static struct erabi_parcel *parcel_of(enum erab_type type, const struct erabi_answer *a,
                                      const ProtobufCMessage *message)
{
    struct erab_header header = {.type = type,
                                 .category = ERAB_OPERATION,
                                 .issued_at_ms = a->now_ms,
                                 .expires_at_ms = a->now_ms + (a->life_ms ? a->life_ms : ERABI_ANSWER_LIFE_MS),
                                 .seq = a->seq,
                                 .exercise = a->exercise,
                                 .version = 1};
    if (!erabi_copy_text(header.from, sizeof(header.from), a->owner) ||
        !erabi_copy_text(header.to, sizeof(header.to), a->to))
        return NULL;
    erab_id_new(header.id, a->now_ms);
    _free_ uint8_t *body = NULL;
    size_t size;
    if (erab_body_pack(message, &body, &size) < 0)
        return NULL;
    uint8_t bytes[ERAB_HEADER_MAX], hash[ERAB_HASH_SIZE];
    struct erabi_envelope envelope = {.header = erabi_slice(bytes, erabi_header_encode(&header, bytes)),
                                      .body = erabi_slice(body, size)};
    erabi_envelope_hash(envelope.header, envelope.body, hash);
    return erabi_parcel_new(&header, &envelope, hash);
}

struct erabi_parcel *erabi_answer_receipt(const struct erabi_answer *a)
{
    Erab__V1__Receipt receipt = ERAB__V1__RECEIPT__INIT;
    receipt.state = (Erab__V1__ReceiptState)a->state;
    receipt.reason = (char *)(uintptr_t)erab_reason_code(a->reason);
    receipt.section = a->section[0] ? (char *)(uintptr_t)a->section : NULL;
    receipt.detail = a->detail[0] ? (char *)(uintptr_t)a->detail : NULL;
    if (a->about) {
        receipt.has_about = 1;
        receipt.about = (ProtobufCBinaryData){ERAB_ID_SIZE, (uint8_t *)(uintptr_t)a->about};
    }
    if (a->about_hash) {
        receipt.has_about_hash = 1;
        receipt.about_hash = (ProtobufCBinaryData){ERAB_HASH_SIZE, (uint8_t *)(uintptr_t)a->about_hash};
    }
    receipt.has_retry_after_ms = erab_reason_retry(a->reason);
    receipt.retry_after_ms = RETRY_AFTER_MS;
    receipt.has_shed = a->shed != 0;
    receipt.shed = a->shed;
    receipt.member = a->members;
    receipt.n_member = a->n_members;
    return parcel_of(ERAB_RECEIPT, a, &receipt.base);
}

struct erabi_parcel *erabi_answer_ping(const char *owner, const char *to, uint64_t seq, uint64_t now_ms,
                                       enum erabi_ping_kind kind, bool ready, uint64_t takes)
{
    Erab__V1__Ping ping = ERAB__V1__PING__INIT;
    ping.protocol = 1;
    ping.has_reply = ping.reply = ping.has_ready = kind == ERABI_PING_ANSWERS;
    ping.ready = ready;
    Erab__V1__MessageType list[ERAB_TYPE_MAX + 1];
    ping.takes = list;
    for (int i = 0; i <= ERAB_TYPE_MAX; i++)
        if (takes >> i & 1)
            list[ping.n_takes++] = (Erab__V1__MessageType)i;
    struct erabi_answer a = {.owner = owner, .to = to, .seq = seq, .now_ms = now_ms};
    return parcel_of(ERAB_PING, &a, &ping.base);
}
