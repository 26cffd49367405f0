/*
 * dissect_batch: record batches field by field: header, records, headers,
 * control records; the two formats before Kafka 0.11 as well. What is
 * compressed is decompressed and goes on in a space of its own.
 *
 * batch_read.c reads the same bytes for those who want the records; here
 * each byte is shown, and damage only ends what it stands in.
 */
#include "proto/batch/batch.h"
#include "proto/bytes/crc32c.h"
#include "proto/dissect/dissect_walk.h"

#include <stdio.h>

enum {
    AT_LENGTH = 8,
    AT_MAGIC = 16,
    AFTER_CRC = 21,    /* magic 2: the checksum covers what follows */
    LEAST_LEGACY = 14, /* bytes behind the size: checksum, magic, attributes, two null values */
    LEAST_RECORD = 7,

    CODEC_BITS = 0x07,
    LOG_APPEND_BIT = 0x08,
    TRANSACTIONAL_BIT = 0x10,
    CONTROL_BIT = 0x20,
    DELETE_HORIZON_BIT = 0x40,

    CONTROL_ABORT = 0,
    CONTROL_COMMIT = 1,
};

static const char *plural(long long count) { return count == 1 ? "" : "s"; }

/* ---- bytes and texts within a record ---- */

/* `length` bytes of a key, value or header; false where they are not there. */
static bool take_sized(struct kf__dissector *d, const uint8_t *at, const char *name, int64_t length,
                       kf_bytes *bytes)
{
    if (length < -1 || (length > 0 && (uint64_t)length > kf__left(&d->in))) {
        kf__text_add(&d->text, "a length of %lld, %zu bytes are left", (long long)length,
                     kf__left(&d->in));
        kf__node_fail(d, at, name, KF_ERR_BAD_BATCH);
        return false;
    }
    size_t size = length < 0 ? 0 : (size_t)length;
    *bytes = (kf_bytes){length < 0 ? NULL : d->in.at, size};
    d->in.at += size;
    return true;
}

static void field_sized_varint(struct kf__dissector *d, const char *name, bool null_allowed)
{
    const uint8_t *at = d->in.at;
    int64_t length = kf__read_varint(d, name, 32);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, at, name, length, &bytes))
        return;
    if (!bytes.data && !null_allowed) {
        kf__text_add(&d->text, "null, which is not allowed");
        kf__node_fail(d, at, name, KF_ERR_BAD_BATCH);
        return;
    }
    kf__text_bytes(&d->text, bytes.data, bytes.size);
    kf__node_field(d, at, name, "varint, bytes");
}

static void read_headers(struct kf__dissector *d)
{
    const uint8_t *at = d->in.at;
    int64_t count = kf__read_varint(d, "headers", 32);
    if (d->in.err)
        return;
    if (count < 0 || (uint64_t)count > kf__left(&d->in) / 2) {
        kf__text_add(&d->text, "a count of %lld, %zu bytes are left", (long long)count,
                     kf__left(&d->in));
        kf__node_fail(d, at, "headers", KF_ERR_BAD_BATCH);
        return;
    }
    kf__text_add(&d->text, "%lld element%s", (long long)count, plural(count));
    kf__node_field(d, at, "headers", "varint");
    d->depth++;
    for (int64_t i = 0; i < count && !d->in.err; i++) {
        field_sized_varint(d, "key", false);
        field_sized_varint(d, "value", true);
    }
    d->depth--;
}

/* ---- control records ---- */

static const char *control_name(int64_t type)
{
    static const char *const names[] = {"ABORT",           "COMMIT",          "LEADER_CHANGE",
                                        "SNAPSHOT_HEADER", "SNAPSHOT_FOOTER", "KRAFT_VERSION",
                                        "KRAFT_VOTERS"};
    return type >= 0 && type < (int64_t)(sizeof names / sizeof *names) ? names[type] : "unknown";
}

/* NULL: a type that is not known, or one whose rows the build leaves out. */
static const kf_schema *control_schema(int64_t type)
{
    static const char *const names[] = {
        "EndTxnMarker",         "EndTxnMarker",       "LeaderChangeMessage", "SnapshotHeaderRecord",
        "SnapshotFooterRecord", "KRaftVersionRecord", "VotersRecord"};
    bool known = type >= 0 && type < (int64_t)(sizeof names / sizeof *names);
    return known ? kf_schema_find(names[type]) : NULL;
}

/* A control record's key says what it is. */
static int64_t read_control_key(struct kf__dissector *d)
{
    int64_t type = -1;
    const uint8_t *at = d->in.at;
    int64_t length = kf__read_varint(d, "key", 32);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, at, "key", length, &bytes))
        return type;
    d->in.at -= bytes.size;
    kf__text_add(&d->text, "%zu bytes", bytes.size);
    kf__node_field(d, at, "key", "varint");

    struct kf__outer outer = kf__region_enter(d, bytes.size);
    d->depth++;
    kf__field_int(d, "version", 2);
    at = d->in.at;
    int64_t read = kf__read_int(d, "type", 2);
    if (!d->in.err) {
        type = read;
        kf__text_add(&d->text, "%d %s", (int)type, control_name(type));
        kf__node_field(d, at, "type", "int16");
    }
    kf__region_leave(d, outer, "key");
    d->depth--;
    return type;
}

/* Ends of transactions put a version before the rows; the others have it as their first row. */
static void read_control_rows(struct kf__dissector *d, const kf_schema *schema, int64_t type)
{
    int64_t version;
    if (type == CONTROL_ABORT || type == CONTROL_COMMIT) {
        version = kf__field_int(d, "version", 2);
    } else {
        const uint8_t *at = d->in.at;
        version = kf__read_int(d, "version", 2);
        if (!d->in.err)
            d->in.at = at;
    }
    if (d->in.err)
        return;
    int16_t known = version > schema->max_version ? schema->max_version : (int16_t)version;
    if (version < 0) {
        kf__text_add(&d->text, "version %d", (int)version);
        kf__node_fail(d, d->in.at, "value", KF_ERR_BAD_VERSION);
        return;
    }
    kf__dissect_embedded(d, schema, known);
}

static void read_control_value(struct kf__dissector *d, int64_t type)
{
    const kf_schema *schema = control_schema(type);
    if (!schema) {
        field_sized_varint(d, "value", true);
        return;
    }
    const uint8_t *at = d->in.at;
    int64_t length = kf__read_varint(d, "value", 32);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, at, "value", length, &bytes))
        return;
    d->in.at -= bytes.size;
    kf__text_add(&d->text, "%zu bytes: %s", bytes.size, kf_schema_name(schema));
    kf__node_field(d, at, "value", "varint");
    struct kf__outer outer = kf__region_enter(d, bytes.size);
    d->depth++;
    read_control_rows(d, schema, type);
    kf__region_leave(d, outer, "value");
    d->depth--;
}

/* ---- records of internal topics ---- */

/* Each topic's rows stand together in the registry. */
static const struct internal_topic {
    const char *name;
    const char *first;
    const char *last;
} internal_topics[KF_INTERNAL_TOPICS] = {
    {"__consumer_offsets", "LegacyOffsetCommitKey", "StreamsGroupTopologyValue"},
    {"__transaction_state", "TransactionLogKey", "TransactionLogValue"},
    {"__share_group_state", "ShareSnapshotKey", "ShareUpdateValue"},
};

unsigned kf__internal_topic(kf_string name)
{
    for (unsigned i = 0; i < KF_INTERNAL_TOPICS; i++)
        if (name.size == strlen(internal_topics[i].name) &&
            memcmp(name.data, internal_topics[i].name, name.size) == 0)
            return i + 1;
    return 0;
}

const kf_schema *kf__record_schema(unsigned topic, int64_t type, bool key)
{
    const struct internal_topic *rows = &internal_topics[topic - 1];
    const kf_schema *schema;
    bool among = false;
    for (size_t i = 0; (schema = kf_schema_at(i)); i++) {
        among = among || strcmp(schema->name, rows->first) == 0;
        if (among && schema->api_key == type &&
            kf__name_ends_with(schema->name, key ? "Key" : "Value"))
            return schema;
        if (strcmp(schema->name, rows->last) == 0)
            return NULL;
    }
    return NULL;
}

/* Behind the int16, of a key its type and of a value its version. */
static void read_state_rows(struct kf__dissector *d, const kf_schema *schema, int64_t version)
{
    int16_t known = (int16_t)version;
    if (!kf__has_version(schema, &known)) {
        kf__text_add(&d->text, "version %d is not known, %d to %d are", (int)version,
                     schema->min_version, schema->max_version);
        kf__node_fail(d, d->in.at, kf_schema_name(schema), KF_ERR_BAD_VERSION);
        return;
    }
    kf__dissect_embedded(d, schema, known);
}

/* A key or a value; *type is read from the one and used for the other. */
static void read_state(struct kf__dissector *d, bool key, int64_t *type)
{
    const char *name = key ? "key" : "value";
    const uint8_t *at = d->in.at;
    int64_t length = kf__read_varint(d, name, 32);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, at, name, length, &bytes))
        return;
    if (key)
        *type = bytes.size >= 2 ? (int16_t)(bytes.data[0] << 8 | bytes.data[1]) : -1;
    const kf_schema *schema = bytes.size ? kf__record_schema(d->topic, *type, key) : NULL;
    if (!schema) {
        kf__text_bytes(&d->text, bytes.data, bytes.size);
        kf__node_field(d, at, name, "varint, bytes");
        return;
    }
    d->in.at -= bytes.size;
    kf__text_add(&d->text, "%zu bytes: %s", bytes.size, kf_schema_name(schema));
    kf__node_field(d, at, name, "varint");
    struct kf__outer outer = kf__region_enter(d, bytes.size);
    d->depth++;
    int64_t number = kf__field_int(d, key ? "type" : "version", 2);
    if (!d->in.err)
        read_state_rows(d, schema, key ? schema->max_version : number);
    kf__region_leave(d, outer, name);
    d->depth--;
}

/* ---- magic 2 ---- */

/* What the records need to know of their batch. */
struct batch {
    int64_t base_offset;
    int64_t base_timestamp;
    int64_t count;
    unsigned attributes;
};

static void read_deltas(struct kf__dissector *d, const struct batch *batch)
{
    const uint8_t *at = d->in.at;
    int64_t delta = kf__read_varint(d, "timestampDelta", 64);
    if (d->in.err)
        return;
    kf__text_add(&d->text, "%lld", (long long)delta);
    if (!(batch->attributes & LOG_APPEND_BIT))
        kf__text_time(&d->text, (int64_t)((uint64_t)batch->base_timestamp + (uint64_t)delta));
    kf__node_field(d, at, "timestampDelta", "varlong");

    at = d->in.at;
    delta = kf__read_varint(d, "offsetDelta", 32);
    if (d->in.err)
        return;
    kf__text_add(&d->text, "%lld (offset %lld)", (long long)delta,
                 (long long)((uint64_t)batch->base_offset + (uint64_t)delta));
    kf__node_field(d, at, "offsetDelta", "varint");
}

static void read_record_fields(struct kf__dissector *d, const struct batch *batch)
{
    kf__field_int(d, "attributes", 1);
    read_deltas(d, batch);
    if (batch->attributes & CONTROL_BIT) {
        int64_t type = read_control_key(d);
        read_control_value(d, type);
    } else if (d->topic) {
        int64_t type = -1;
        read_state(d, true, &type);
        read_state(d, false, &type);
    } else {
        field_sized_varint(d, "key", true);
        field_sized_varint(d, "value", true);
    }
    if (!d->in.err)
        read_headers(d);
}

/* A record, one after another: the region ends with the last. */
static void read_records(struct kf__dissector *d, const struct batch *batch)
{
    if (batch->count < 0 || (uint64_t)batch->count > kf__left(&d->in) / LEAST_RECORD) {
        kf__text_add(&d->text, "a count of %lld records, but only %zu bytes are left",
                     (long long)batch->count, kf__left(&d->in));
        kf__node_fail(d, d->in.at, "records", KF_ERR_BAD_BATCH);
        return;
    }
    for (int64_t i = 0; i < batch->count && !d->in.err; i++) {
        char name[32];
        const uint8_t *at = d->in.at;
        snprintf(name, sizeof name, "record [%lld]", (long long)i);
        int64_t length = kf__read_varint(d, name, 32);
        if (d->in.err)
            return;
        if (length < 0 || (uint64_t)length > kf__left(&d->in)) {
            kf__text_add(&d->text, "a length of %lld, %zu bytes are left", (long long)length,
                         kf__left(&d->in));
            kf__node_fail(d, at, name, KF_ERR_BAD_BATCH);
            return;
        }
        kf__text_add(&d->text, "%lld bytes", (long long)length);
        kf__node_field(d, at, name, "varint");
        struct kf__outer outer = kf__region_enter(d, (size_t)length);
        d->depth++;
        read_record_fields(d, batch);
        kf__region_leave(d, outer, name);
        d->depth--;
    }
}

/* ---- compressed payloads ---- */

typedef void (*payload_fn)(struct kf__dissector *d, const struct batch *batch);

static kf_err decompress(struct kf__dissector *d, enum kf_codec codec, bool magic_0, kf_bytes in,
                         struct kf__buffer *out)
{
    size_t limit = KF_DISSECT_DECOMPRESSED_BYTES - d->decompressed;
    kf_err err = magic_0 && codec == KF_CODEC_LZ4
                     ? kf__decompress_lz4_magic_0(in, limit, out)
                     : kf__decompress(d->codecs, codec, in, limit, out);
    d->decompressed += out->used;
    if (err == KF_ERR_NO_MEMORY)
        d->memory = err;
    return err;
}

/* Reads `out` in a space of its own. */
static void read_space(struct kf__dissector *d, const struct kf__buffer *out, payload_fn read,
                       const struct batch *batch)
{
    struct kf__cursor in = d->in;
    const uint8_t *base = d->base;
    unsigned space = d->space;
    bool inside = d->inside;

    d->base = out->bytes;
    d->space = ++d->spaces;
    d->in = kf__cursor_over(out->bytes, out->used);
    if (!d->base)
        d->base = d->in.at;
    kf__text_add(&d->text, "offsets from here on count in the %zu bytes decompressed", out->used);
    kf__node_note(d, "decompressed");
    struct kf__outer outer = kf__region_enter(d, out->used);
    read(d, batch);
    kf__region_leave(d, outer, "decompressed");

    d->in = in;
    d->base = base;
    d->space = space;
    d->inside = inside;
}

/* All that is left of the region, or `size` bytes of it, is one compressed payload. */
static void read_compressed(struct kf__dissector *d, const char *name, size_t size,
                            const struct batch *batch, bool magic_0, payload_fn read)
{
    const uint8_t *at = d->in.at;
    enum kf_codec codec = (enum kf_codec)(batch->attributes & CODEC_BITS);
    struct kf__buffer out;
    kf__buffer_init(&out, d->alloc);
    kf_err err = decompress(d, codec, magic_0, (kf_bytes){at, size}, &out);
    if (err) {
        kf__text_add(&d->text, "%s", kf_err_text(err));
        kf__node_fail(d, at, name, err);
    } else {
        d->in.at += size;
        kf__text_add(&d->text, "%zu bytes of %s, decompressed %zu", size, kf__codec_name(codec),
                     out.used);
        kf__node_field(d, at, name, "compressed");
        d->depth++;
        read_space(d, &out, read, batch);
        d->depth--;
    }
    kf__buffer_free(&out);
}

/* ---- a batch's header ---- */

static void field_attributes(struct kf__dissector *d, unsigned bytes, struct batch *batch,
                             int64_t magic)
{
    const uint8_t *at = d->in.at;
    batch->attributes = (unsigned)kf__read_int(d, "attributes", bytes) & 0xFFFF;
    if (d->in.err)
        return;
    unsigned bits = batch->attributes;
    const char *codec = kf__codec_name((enum kf_codec)(bits & CODEC_BITS));
    kf__text_add(&d->text, "%u %s", bits, codec ? codec : "unknown codec");
    if (magic > 0)
        kf__text_add(&d->text, ", %s time", bits & LOG_APPEND_BIT ? "log append" : "create");
    if (magic == 2)
        kf__text_add(&d->text, "%s%s%s", bits & TRANSACTIONAL_BIT ? ", transactional" : "",
                     bits & CONTROL_BIT ? ", control" : "",
                     bits & DELETE_HORIZON_BIT ? ", delete horizon" : "");
    kf__node_field(d, at, "attributes", kf__int_type(bytes));
}

static int64_t field_timestamp(struct kf__dissector *d, const char *name)
{
    const uint8_t *at = d->in.at;
    int64_t ms = kf__read_int(d, name, 8);
    if (d->in.err)
        return 0;
    kf__text_add(&d->text, "%lld", (long long)ms);
    kf__text_time(&d->text, ms);
    kf__node_field(d, at, name, "int64");
    return ms;
}

static void field_crc(struct kf__dissector *d, uint32_t right)
{
    const uint8_t *at = d->in.at;
    uint32_t crc = (uint32_t)kf__read_int(d, "crc", 4);
    if (d->in.err)
        return;
    kf__text_add(&d->text, "0x%08x%s", crc, crc == right ? ", right" : "");
    kf__node_field(d, at, "crc", "uint32");
    if (crc != right) {
        kf__text_add(&d->text, "the checksum should be 0x%08x", right);
        kf__node_problem(d, at, "crc");
    }
}

static void read_batch(struct kf__dissector *d, const uint8_t *at, int64_t base_offset, size_t size)
{
    struct batch batch = {.base_offset = base_offset};
    kf__field_int(d, "partitionLeaderEpoch", 4);
    int64_t magic = kf__field_int(d, "magic", 1);
    field_crc(d, size < AFTER_CRC ? 0 : kf__crc32c(0, at + AFTER_CRC, size - AFTER_CRC));
    field_attributes(d, 2, &batch, magic);
    kf__field_int(d, "lastOffsetDelta", 4);
    batch.base_timestamp = field_timestamp(d, "baseTimestamp");
    field_timestamp(d, "maxTimestamp");
    kf__field_int(d, "producerId", 8);
    kf__field_int(d, "producerEpoch", 2);
    kf__field_int(d, "baseSequence", 4);
    batch.count = kf__field_int(d, "recordsCount", 4);
    if (d->in.err)
        return;
    if (batch.attributes & CODEC_BITS)
        read_compressed(d, "records", kf__left(&d->in), &batch, false, read_records);
    else
        read_records(d, &batch);
}

/* ---- magic 0 and 1 ---- */

static void read_legacy_messages(struct kf__dissector *d, const struct batch *batch);

static void field_sized_int(struct kf__dissector *d, const char *name)
{
    const uint8_t *at = d->in.at;
    int64_t length = kf__read_int(d, name, 4);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, at, name, length, &bytes))
        return;
    kf__text_bytes(&d->text, bytes.data, bytes.size);
    kf__node_field(d, at, name, "bytes");
}

/* Behind offset and size. `wrapped`: within a compressed one, where another is not allowed. */
static void read_legacy(struct kf__dissector *d, const uint8_t *at, size_t size, bool wrapped)
{
    struct batch batch = {0};
    field_crc(d, kf__crc32(0, at + AT_MAGIC, size - AT_MAGIC));
    int64_t magic = kf__field_int(d, "magic", 1);
    field_attributes(d, 1, &batch, magic);
    if (magic == 1)
        field_timestamp(d, "timestamp");
    field_sized_int(d, "key");
    if (d->in.err || !(batch.attributes & CODEC_BITS) || wrapped) {
        if (!d->in.err)
            field_sized_int(d, "value");
        return;
    }
    const uint8_t *value = d->in.at;
    int64_t length = kf__read_int(d, "value", 4);
    kf_bytes bytes;
    if (d->in.err || !take_sized(d, value, "value", length, &bytes))
        return;
    d->in.at -= bytes.size;
    kf__text_add(&d->text, "%zu bytes", bytes.size);
    kf__node_field(d, value, "value", "int32");
    read_compressed(d, "messages", bytes.size, &batch, magic == 0, read_legacy_messages);
}

/* ---- one batch after another ---- */

/* A Fetch answer is cut at its limit, wherever that falls. */
static void cut_batch(struct kf__dissector *d, const uint8_t *at, bool may_be_cut, size_t wanted)
{
    size_t have = (size_t)(d->in.end - at);
    if (!may_be_cut) {
        kf__text_add(&d->text, "a batch of %zu bytes, %zu are left", wanted, have);
        kf__node_fail(d, at, "batch", KF_ERR_TRUNCATED);
        return;
    }
    d->in.at = d->in.end;
    kf__text_add(&d->text, "%zu of %zu bytes: cut at the answer's limit", have, wanted);
    kf__node_field(d, at, "batch", "cut");
}

static void read_one(struct kf__dissector *d, bool may_be_cut, bool wrapped)
{
    const uint8_t *at = d->in.at;
    if (kf__left(&d->in) <= AT_MAGIC) {
        cut_batch(d, at, may_be_cut, AT_MAGIC + 1);
        return;
    }
    int8_t magic = (int8_t)at[AT_MAGIC];
    int32_t length = (int32_t)kf__be32(at + AT_LENGTH);
    int32_t least = magic == 2 ? KF__BATCH_HEADER_BYTES - KF__BATCH_OVERHEAD : LEAST_LEGACY;
    if (magic < 0 || magic > 2 || (wrapped && magic == 2)) {
        kf__text_add(&d->text, "a format (magic) of %d, known are 0 to 2", magic);
        kf__node_fail(d, at, "batch", KF_ERR_BAD_MAGIC);
        return;
    }
    if (length < least) {
        kf__text_add(&d->text, "a length of %d bytes, at least %d are needed", (int)length,
                     (int)least);
        kf__node_fail(d, at, "batch", KF_ERR_BAD_BATCH);
        return;
    }
    size_t size = (size_t)length + KF__BATCH_OVERHEAD;
    if (size > kf__left(&d->in)) {
        cut_batch(d, at, may_be_cut, size);
        return;
    }

    kf__text_add(&d->text, "%zu bytes", size);
    kf__node_enter(d, magic == 2 ? "batch" : "message", magic == 2 ? "batch" : "legacy");
    struct kf__outer outer = kf__region_enter(d, size);
    int64_t offset = kf__field_int(d, magic == 2 ? "baseOffset" : "offset", 8);
    kf__field_int(d, magic == 2 ? "batchLength" : "messageSize", 4);
    if (magic == 2)
        read_batch(d, at, offset, size);
    else
        read_legacy(d, at, size, wrapped);
    kf__region_leave(d, outer, magic == 2 ? "batch" : "message");
    kf__node_leave(d);
}

static void read_legacy_messages(struct kf__dissector *d, const struct batch *batch)
{
    (void)batch;
    while (kf__left(&d->in) && !d->in.err)
        read_one(d, false, true);
}

void kf__dissect_batches(struct kf__dissector *d, bool may_be_cut)
{
    while (kf__left(&d->in) && !d->in.err)
        read_one(d, may_be_cut, false);
}
