/*
 * codec: any Kafka message, at any version: bytes ⇄ struct ⇄ JSON.
 *
 * A message is described by rows (schema/NN_name.def), from which the
 * preprocessor makes its C struct (messages.h), its descriptor and the
 * registry. One engine works from the descriptor; there is no code per
 * message.
 *
 *   bytes ──kf_decode──▶ struct kf_fetch_response ──kf_to_json──▶ text
 *   bytes ◀──kf_encode── struct kf_fetch_response ◀─kf_from_json── text
 *
 * Every function here is pure and thread-safe as long as two threads don't
 * share an arena, a writer or a message.
 */
#ifndef KAFIBER_CODEC_H
#define KAFIBER_CODEC_H

#include <kafiber/alloc.h>
#include <kafiber/error.h>
#include <kafiber/types.h>
#include <stdbool.h>

KF_BEGIN_DECLS

/* A tagged field (KIP-482) that the rows don't know: its content without tag and size. */
struct kf_tag {
    uint32_t tag;
    kf_bytes bytes;
};

/* In ascending order of tag. Zero: none. */
struct kf_tags {
    struct kf_tag *items;
    int32_t count;
};

/*
 * The tag of the one entry in a ConsumerProtocol message's unknown_tags: the
 * bytes behind the last field that is known. A version newer than ours is read
 * as our newest, and encodes to the same bytes again.
 */
#define KF_TAIL UINT32_MAX

/* One message's descriptor: `kf_schema_of_metadata_request`, declared in messages.h. */
typedef struct kf_schema kf_schema;

/*
 * "MetadataRequest", as Kafka's specification spells it; NULL where there is none, or where the
 * build leaves it out (KAFIBER_MESSAGES_…). kf_schema_of_… of a message left out doesn't link.
 */
KF_API const kf_schema *kf_schema_find(const char *name);
KF_API const kf_schema *kf_schema_request(int16_t api_key);
KF_API const kf_schema *kf_schema_response(int16_t api_key);
/* All of them, from index 0 until NULL. */
KF_API const kf_schema *kf_schema_at(size_t index);

KF_API const char *kf_schema_name(const kf_schema *schema);
KF_API int16_t kf_schema_api_key(const kf_schema *schema); /* -1: not a request or response */
/* Of a record of an internal topic or the metadata log, its type; -1: it is none. */
KF_API int16_t kf_schema_record_type(const kf_schema *schema);
KF_API int16_t kf_schema_min_version(const kf_schema *schema);
KF_API int16_t kf_schema_max_version(const kf_schema *schema);
KF_API bool kf_schema_is_flexible(const kf_schema *schema, int16_t version); /* KIP-482 */
KF_API size_t kf_schema_struct_size(const kf_schema *schema); /* bytes of the C struct */

/*
 * Memory of decoded messages: grows by chunks, freed all at once. `limit`
 * caps what it may hold in bytes (0: no cap); beyond it a decode fails with
 * KF_ERR_MESSAGE_TOO_COMPLEX. One thread at a time.
 */
typedef struct kf_arena {
    const kf_allocator *alloc;
    struct kf_arena_chunk *chunks;
    size_t limit; /* bytes */
    size_t held;  /* bytes, all chunks */
} kf_arena;

KF_API void kf_arena_init(kf_arena *arena, const kf_allocator *alloc, size_t limit);
/* Zeroed memory aligned for any type; NULL when out of memory or over the limit. */
KF_API void *kf_arena_alloc(kf_arena *arena, size_t size);
/* Forgets everything; may keep one chunk for the next message. */
KF_API void kf_arena_reset(kf_arena *arena);
KF_API void kf_arena_free(kf_arena *arena);

/*
 * Bytes being written, with a sticky error: write straight through, look at
 * `err` once at the end. Large `records` are kept as borrowed segments where
 * `splice` is set, and must then outlive the writer's use.
 */
typedef struct kf_writer {
    const kf_allocator *alloc;
    uint8_t *bytes; /* owned bytes, without the segments */
    size_t used;
    size_t capacity;
    struct kf_segment *segments; /* borrowed bytes and where they go, in order */
    size_t segment_count;
    size_t segment_capacity;
    size_t total; /* bytes in all: owned and borrowed */
    bool splice;
    kf_err err;
} kf_writer;

/* Borrowed bytes that stand after the first `at` owned bytes. */
struct kf_segment {
    size_t at;
    kf_bytes bytes;
};

KF_API void kf_writer_init(kf_writer *writer, const kf_allocator *alloc);
KF_API void kf_writer_reset(kf_writer *writer); /* keeps the memory */
KF_API void kf_writer_free(kf_writer *writer);
KF_API void kf_writer_put(kf_writer *writer, const void *bytes, size_t size);

/* Sets every field to its default (0, "", empty, or what the rows say). */
KF_API void kf_reset(const kf_schema *schema, void *message);

/*
 * Decodes all of `bytes`; bytes left over are KF_ERR_TRAILING_BYTES, but for
 * those of the consumer protocol, which are kept (KF_TAIL). Strings,
 * bytes and records borrow from `bytes`; arrays and unknown tags live in the
 * arena. `message` is overwritten. Negative errors only.
 */
KF_API kf_err kf_decode(const kf_schema *schema, int16_t version, const void *bytes, size_t size,
                        kf_arena *arena, void *message);
/* The same for a message that is followed by others: *used says how much it took. */
KF_API kf_err kf_decode_prefix(const kf_schema *schema, int16_t version, const void *bytes,
                               size_t size, kf_arena *arena, void *message, size_t *used);

/*
 * Appends the message. A field that the version lacks must be at its default
 * unless its row says IGNORABLE (else KF_ERR_FIELD_NOT_IN_VERSION); null where
 * the version does not allow it is KF_ERR_NULL_FIELD. After an error the
 * writer's contents are undefined.
 */
KF_API kf_err kf_encode(const kf_schema *schema, int16_t version, const void *message,
                        kf_writer *writer);

/*
 * Compact JSON in the form of Kafka's own converters, with two departures:
 * `records` hold the real bytes, and unknown tagged fields stand under
 * `_unknownTaggedFields` as [{"tag": 7, "data": "base64"}] (docs/codec.md).
 * Refuses what kf_encode refuses for a version that lacks a field. A build
 * without JSON (KAFIBER_JSON=OFF) answers KF_ERR_NOT_BUILT to this and the next.
 */
KF_API kf_err kf_to_json(const kf_schema *schema, int16_t version, const void *message,
                         kf_writer *text);
/*
 * Reads that form; everything that the message needs is copied into the
 * arena. A mandatory field that is missing, a value of the wrong type or out
 * of range is KF_ERR_BAD_JSON, and `error` (may be NULL) says where. Keys
 * that the message doesn't know are skipped, as Kafka does.
 */
KF_API kf_err kf_from_json(const kf_schema *schema, int16_t version, const char *text, size_t size,
                           kf_arena *arena, void *message, kf_error *error);

/*
 * A message's fields by its descriptor, for those who don't know its type:
 *
 *     kf_field field;
 *     for (kf_fields walk = kf_fields_of(schema); kf_fields_next(&walk, &field);)
 *         use(field.name, (char *)message + field.offset);
 *
 * Fields come in the order of the rows, those of all versions. The walk and
 * what it hands out are values; nothing needs to be freed.
 */
typedef enum kf_field_type {
    KF_FIELD_BOOL,  /* bool */
    KF_FIELD_INT8,  /* int8_t */
    KF_FIELD_INT16, /* int16_t, and so on */
    KF_FIELD_UINT16,
    KF_FIELD_INT32,
    KF_FIELD_UINT32,
    KF_FIELD_INT64,
    KF_FIELD_FLOAT64,        /* double */
    KF_FIELD_UUID,           /* kf_uuid */
    KF_FIELD_STRING,         /* kf_string */
    KF_FIELD_BYTES,          /* kf_bytes */
    KF_FIELD_RECORDS,        /* kf_bytes: record batches */
    KF_FIELD_STRUCT,         /* the struct itself */
    KF_FIELD_STRUCT_POINTER, /* a pointer to it, NULL for null */
} kf_field_type;

typedef struct kf_field {
    const char *name; /* as in C: "topic_id"; static; "" in a build without JSON */
    kf_field_type type;
    bool array;             /* a {items, count} of the type */
    int16_t since;          /* versions that have it, both included */
    int16_t until;          /* INT16_MAX: no end */
    int16_t nullable_since; /* versions where it may be null; -1: none */
    int16_t nullable_until;
    int32_t tag; /* -1: not tagged */
    bool ignorable;
    bool never_compact; /* its length is classic even in flexible versions */
    bool null_by_default;
    int64_t number_by_default; /* for numbers; a bool's is 0 or 1 */
    size_t offset;             /* in the C struct, bytes */
    size_t element_size;       /* of one value in C, bytes: the step in an array's items */
    const void *inside;        /* private: the struct's rows */
} kf_field;

typedef struct kf_fields {
    const void *type; /* private */
    const char *name;
    uint16_t index;
    size_t at;
} kf_fields;

KF_API kf_fields kf_fields_of(const kf_schema *schema);
/* The fields of the struct that a field of a struct type holds; of no field for other types. */
KF_API kf_fields kf_fields_inside(const kf_field *field);
KF_API bool kf_fields_next(kf_fields *walk, kf_field *field);
/* "topic_id" as Kafka spells it, "topicId"; returns its length as snprintf does. */
KF_API size_t kf_field_json_name(const char *name, char *text, size_t size);

/*
 * Calls `visit` for each value of a message that is no struct: a field's, and
 * each element's of an array, at whatever depth, in the rows' order. `value`
 * points to the C type that field->type names and may be changed in place.
 * Unknown tags are not visited.
 */
typedef void kf_visit(const kf_field *field, void *value, void *context);
KF_API void kf_visit_values(const kf_schema *schema, void *message, kf_visit *visit, void *context);

struct kf_api_versions_response;

/*
 * The newest version of a request that both we and the broker speak;
 * KF_ERR_API_NOT_SUPPORTED where there is none.
 */
KF_API kf_err kf_version_choose(const kf_schema *request,
                                const struct kf_api_versions_response *broker, int16_t *version);

KF_END_DECLS

#endif
