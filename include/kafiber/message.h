/*
 * message: one record, as a handler sees it.
 *
 * All views borrow: they are valid until the handler returns, or longer
 * where kf_message_retain pinned the memory they lie in.
 */
#ifndef KAFIBER_MESSAGE_H
#define KAFIBER_MESSAGE_H

#include <kafiber/error.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

typedef enum kf_timestamp_type {
    KF_TIMESTAMP_NONE = -1, /* a record of the oldest format (magic 0) */
    KF_TIMESTAMP_CREATE = 0,
    KF_TIMESTAMP_LOG_APPEND = 1,
} kf_timestamp_type;

/* Names may repeat and keep their order; a value may be null. */
typedef struct kf_header {
    kf_string name;
    kf_bytes value;
} kf_header;

typedef struct kf_message {
    const char *topic; /* NUL-terminated; valid as long as the runtime is */
    int32_t partition;
    int32_t leader_epoch; /* -1: unknown */
    int64_t offset;
    int64_t timestamp; /* milliseconds since 1970-01-01 UTC; -1: none */
    kf_timestamp_type timestamp_type;
    int32_t attempt; /* 0 the first time, then 1, 2, … as it is retried */
    kf_bytes key;
    kf_bytes value;
    int32_t header_count;
    kf_bytes headers;       /* as on the wire; read with kf_message_headers_next */
    struct kf_batch *batch; /* where it lies; private */
} kf_message;

/*
 * Walks the headers in order. *at is 0 before the first call. Returns false
 * after the last.
 */
KF_API bool kf_message_headers_next(const kf_message *message, size_t *at, kf_header *header);
/* The last header of that name (Kafka's lastHeader); false where there is none. */
KF_API bool kf_message_header(const kf_message *message, const char *name, kf_header *header);

/*
 * Keeps the memory that the message's views lie in (a whole batch) until
 * kf_message_release, from any thread. Pinned memory counts against the
 * runtime's budget. The copy in *kept is yours; its views stay valid.
 */
KF_API void kf_message_retain(const kf_message *message, kf_message *kept);
KF_API void kf_message_release(kf_message *kept);

/* A copy in one allocation of its own, freed with kf_message_free. */
KF_API kf_message *kf_message_copy(const kf_message *message);
KF_API void kf_message_free(kf_message *copy);

KF_END_DECLS

#endif
