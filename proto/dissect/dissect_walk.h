/*
 * dissect_walk: what the dissector's files share: the walk's state, nodes,
 * and regions of bytes that are read by themselves.
 *
 *   dissect.c ──▶ dissect_rows.c ──▶ dissect_batch.c
 *   frame, header   message by rows    record batches    dissect_text.c: values as text
 *                          └──▶ dissect_sasl.c: SASL messages
 *
 * A region (a batch, a tag's content, an embedded message) is entered and
 * left: damage in it ends the region, not what stands around it.
 */
#ifndef KF_PROTO_DISSECT_WALK_H
#define KF_PROTO_DISSECT_WALK_H

#include "proto/bytes/cursor.h"
#include "proto/codec/schema.h"
#include "proto/compress/compress.h"
#include <kafiber/dissect.h>

enum {
    KF__VALUE_BYTES = 320,  /* of a value's text; a longer one is cut */
    KF__VALUE_STRING = 120, /* bytes of a string that are shown */
    KF__VALUE_BINARY = 32,  /* bytes of binary data that are shown */
    KF__VALUE_NUMBERS = 16, /* elements of an array of numbers that are shown */
    KF__FIELD_NAME_BYTES = 64,
};

struct kf__text {
    char bytes[KF__VALUE_BYTES];
    size_t used;
};

void kf__text_add(struct kf__text *text, const char *format, ...) KF_PRINTF(2, 3);
/* In quotes, what is not printable escaped; null, or cut with the whole length, where so. */
void kf__text_string(struct kf__text *text, const void *data, size_t size);
/* As a string where it is text, else as hex. */
void kf__text_bytes(struct kf__text *text, const uint8_t *data, size_t size);
/* Milliseconds since 1970 as "2026-11-21T13:38:09.123Z", nothing where they are none. */
void kf__text_time(struct kf__text *text, int64_t ms);
void kf__text_uuid(struct kf__text *text, const uint8_t *bytes);

struct kf__dissector {
    struct kf__cursor in;
    const uint8_t *base; /* offset 0 of the space */
    const uint8_t *stop; /* after an error: where the unread bytes begin */
    unsigned space;
    unsigned spaces; /* handed out so far */
    unsigned depth;
    kf_node_fn visit;
    void *context;
    kf_dissection *facts;
    const kf_allocator *alloc;
    struct kf__codecs *codecs;
    size_t decompressed;  /* bytes of this frame, so far */
    struct kf__text text; /* of the node being made */

    /* What of the message is being read. */
    const kf_schema *schema;
    int16_t version;
    bool flexible;
    bool inside;              /* a region: its errors are not the message's */
    kf_string protocol_type;  /* last seen; data NULL: none yet */
    unsigned topic;           /* last seen: an internal one, counted from 1; 0: another */
    size_t secret;            /* bytes at the end of the node being made that are */
    kf_dissect_memory *known; /* NULL: none */
    kf_err memory;            /* KF_ERR_NO_MEMORY once that happened */
};

/* A node for the bytes from `at` to where the cursor stands; its value is d->text, then cleared. */
void kf__node_field(struct kf__dissector *d, const uint8_t *at, const char *name, const char *type);
/* A heading at the cursor; deeper until kf__node_leave. */
void kf__node_enter(struct kf__dissector *d, const char *name, const char *type);
void kf__node_leave(struct kf__dissector *d);
void kf__node_note(struct kf__dissector *d, const char *name);
/* A problem that doesn't end the walk, its words in d->text. */
void kf__node_problem(struct kf__dissector *d, const uint8_t *at, const char *name);
/* "(12 bytes, not shown)": the last of the node being made. */
void kf__text_secret(struct kf__dissector *d, size_t size);
/* Ends the walk of this region, its unread bytes beginning at `at`; words in d->text. */
void kf__node_fail(struct kf__dissector *d, const uint8_t *at, const char *name, kf_err err);

/* What stood around a region. */
struct kf__outer {
    struct kf__cursor in;
    bool inside;
};
/* Takes `size` bytes (which must be there) as the region to be read. */
struct kf__outer kf__region_enter(struct kf__dissector *d, size_t size);
/* Tells what was not read; the cursor goes on behind the region. */
void kf__region_leave(struct kf__dissector *d, struct kf__outer outer, const char *what);

/* A number as a field of its own; 0 after an error. */
int64_t kf__field_int(struct kf__dissector *d, const char *name, unsigned bytes);
/* The same without node, for those who add to the text first. */
int64_t kf__read_int(struct kf__dissector *d, const char *name, unsigned bytes);
int64_t kf__read_varint(struct kf__dissector *d, const char *name, unsigned bits);
const char *kf__int_type(unsigned bytes);

/* The message's rows at d->version. */
void kf__dissect_struct(struct kf__dissector *d, const struct kf__struct *type);
/* A message of its own in the bytes of a region; restores what the walk knew. */
void kf__dissect_embedded(struct kf__dissector *d, const kf_schema *schema, int16_t version);
/* What is forwarded inside an Envelope: the rest of the region, a header first. */
void kf__dissect_forwarded(struct kf__dissector *d, bool request);
/* The rest of the region as a SASL message. */
void kf__dissect_sasl(struct kf__dissector *d, bool from_client);
/* "SASL PLAIN" or the like, of the region's bytes. */
const char *kf__sasl_name(const struct kf__dissector *d, bool from_client);
/*
 * "OffsetCommitKey" and the like: the rows of an internal topic's record by its number; NULL:
 * none is known.
 */
const kf_schema *kf__record_schema(unsigned topic, int64_t type, bool key);
bool kf__name_ends_with(const char *name, const char *end);
/* The number of the internal topic with this name; 0: it is none. */
unsigned kf__internal_topic(kf_string name);
/* The region's bytes as record batches. `may_be_cut`: the last one may lack its end. */
void kf__dissect_batches(struct kf__dissector *d, bool may_be_cut);

#endif
