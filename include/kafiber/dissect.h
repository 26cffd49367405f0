/*
 * dissect: a frame as it lies on the wire, field by field: what stands at
 * which offset, in how many bytes, and what it means.
 *
 *     frame ──kf_dissect_request──▶ node, node, node …
 *                                   offset 14, 2 bytes, "requestApiKey", int16, "3 Metadata"
 *
 * Unlike kf_decode it gives everything up to the first damaged byte, says in
 * plain words what is wrong there, and opens what the rows call bytes: record
 * batches (compressed ones too), control records, records of Kafka's internal
 * topics, the subscriptions and assignments of consumer groups, SASL messages,
 * and what an Envelope forwards. Nothing here does I/O; `kf decode` prints the
 * nodes. Pure and thread-safe.
 */
#ifndef KAFIBER_DISSECT_H
#define KAFIBER_DISSECT_H

#include <kafiber/alloc.h>
#include <kafiber/codec.h>
#include <kafiber/error.h>
#include <kafiber/types.h>

KF_BEGIN_DECLS

typedef enum kf_node_kind {
    KF_NODE_FIELD,   /* bytes and what they mean */
    KF_NODE_GROUP,   /* a heading: the deeper nodes that follow belong to it; no bytes */
    KF_NODE_NOTE,    /* a remark; no bytes */
    KF_NODE_PROBLEM, /* what is wrong, in the value, and where; no bytes */
    KF_NODE_UNKNOWN, /* bytes that could not be read */
} kf_node_kind;

/* Borrows everything; valid during the call only. */
typedef struct kf_node {
    kf_node_kind kind;
    bool empty;     /* the tags of a struct that has none: one byte of no interest */
    unsigned depth; /* 0: the frame's own */
    /* What the offset counts in: 0 the frame, n the n-th decompressed payload of it. */
    unsigned space;
    size_t offset;
    size_t size; /* in bytes; of an array only its count */
    const uint8_t *bytes;
    const char *name;  /* as Kafka spells it, "topicId"; "[3]" for an element */
    const char *type;  /* "int32", "compact string", "[]struct"; "" for none */
    const char *value; /* one line of UTF-8; long values are cut, and say so */
    /* So many of its last bytes are a password, a proof or a token: the value doesn't show them. */
    size_t secret;
} kf_node;

typedef void (*kf_node_fn)(const kf_node *node, void *context);

enum {
    KF_INTERNAL_TOPICS = 3, /* __consumer_offsets, __transaction_state, __share_group_state */
    KF_DISSECT_TOPICS = 8   /* of each, because a capture may be of several clusters */
};

/*
 * What frames say that others need. Zeroed by the caller at first, then the
 * same one for all frames of a capture.
 */
typedef struct kf_dissect_memory {
    /* Ids of the internal topics, from Metadata answers: without one a Fetch v13 doesn't say that
     * its records are the coordinator's. */
    kf_uuid topics[KF_INTERNAL_TOPICS][KF_DISSECT_TOPICS];
    unsigned topic_count[KF_INTERNAL_TOPICS]; /* so far; the oldest give way */
    /* Set by the caller before the answer to an Envelope: whether that had a request inside, and
     * which; see kf_dissection. */
    bool forwarded;
    int16_t forwarded_api_key;
    int16_t forwarded_api_version;
} kf_dissect_memory;

/* What a dissection came to. */
typedef struct kf_dissection {
    const kf_schema *schema; /* of the message; NULL: of no API that is known */
    int16_t api_key;
    int16_t api_version; /* an ApiVersions answer may be version 0 whatever was asked (KIP-511) */
    int32_t correlation_id;
    kf_string client_id; /* of a request; borrows from the frame */
    size_t message_at; /* offset in the frame where the message begins, behind its header; 0: not a
                          whole one */
    bool forwards;     /* an Envelope with a request inside; the next two are that one's */
    int16_t forwarded_api_key;
    int16_t forwarded_api_version;
    kf_err err;        /* what kf_decode would say of header and message; 0: sound */
    size_t explained;  /* bytes of the frame that some field stands for */
    size_t undecoded;  /* bytes that could not be read, in the frame or decompressed */
    size_t problems;   /* of all kinds: a batch may be damaged in a sound message */
    size_t problem_at; /* offset of the first, in its own space */
    size_t secrets;    /* nodes with secret bytes */
    char problem[160]; /* the first, in words; empty where there is none */
} kf_dissection;

enum {
    /* What all batches of one frame may decompress to: a capture may hold a bomb. */
    KF_DISSECT_DECOMPRESSED_BYTES = 64 << 20
};

/*
 * `frame` begins with its size; `size` may be less than that announces: then
 * the frame is shown as far as it goes. `visit` may be NULL where only the
 * facts are wanted; batches are then checked all the same. `memory` may be
 * NULL: then what needs it stays bytes. Returns KF_ERR_NO_MEMORY or 0: damage
 * is told in the facts and as a node.
 */
KF_API kf_err kf_dissect_request(const void *frame, size_t size, kf_dissect_memory *memory,
                                 const kf_allocator *alloc, kf_node_fn visit, void *context,
                                 kf_dissection *facts);
/* A response doesn't say what it answers: the request's API and version do. */
KF_API kf_err kf_dissect_response(int16_t api_key, int16_t api_version, const void *frame,
                                  size_t size, kf_dissect_memory *memory, const kf_allocator *alloc,
                                  kf_node_fn visit, void *context, kf_dissection *facts);
/*
 * A size and a SASL message without header, as they follow a SaslHandshake of
 * version 0. Of the facts only those about bytes and problems are set.
 */
KF_API kf_err kf_dissect_sasl(bool from_client, const void *frame, size_t size, kf_node_fn visit,
                              void *context, kf_dissection *facts);

/* "Metadata" for 3; NULL for a key of no API. Static. The length in *size: it is not terminated. */
KF_API const char *kf_api_name(int16_t api_key, size_t *size);
/* The key of "Metadata" or "3"; -1: none. */
KF_API int16_t kf_api_find(const char *name);

KF_END_DECLS

#endif
