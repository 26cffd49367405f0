/*
 * dissect_rows: a message by its rows, a node for each field. The same rules
 * as decode.c, which a fuzzer compares: what one refuses the other does too.
 * The difference is that nothing is kept, and that the way up to an error
 * counts.
 */
#include "proto/dissect/dissect_walk.h"

#include <stdio.h>

enum {
    LONGEST_STRING = 0x7FFF,
    LEAST_TAG = 2, /* bytes: a tag and its size */
    NULL_LENGTH = -1,
};

static const char *const type_names[KF__TYPES] = {
    [KF__boolean] = "bool",  [KF__int8] = "int8",
    [KF__int16] = "int16",   [KF__uint16] = "uint16",
    [KF__int32] = "int32",   [KF__uint32] = "uint32",
    [KF__int64] = "int64",   [KF__float64] = "float64",
    [KF__uuid] = "uuid",     [KF__str] = "string",
    [KF__bytes] = "bytes",   [KF__records] = "records",
    [KF__struct] = "struct", [KF__struct_pointer] = "struct",
};

/* A row and how it is called here: by its own name, or as an element. */
struct place {
    const struct kf__row *row;
    const char *row_name; /* as in C, "topic_id" */
    const char *name;     /* as it is shown */
    bool element;
};

static void walk_value(struct kf__dissector *d, const struct place *place);

static void fail_short(struct kf__dissector *d, const uint8_t *at, const char *name,
                       unsigned long long wanted, size_t left)
{
    kf__text_add(&d->text, "needs %llu bytes, %zu are left", wanted, left);
    kf__node_fail(d, at, name, KF_ERR_TRUNCATED);
}

static uint32_t read_varuint(struct kf__dissector *d, const char *name)
{
    struct kf__cursor in = d->in;
    uint32_t value = kf__take_varuint32(&in);
    if (in.err) {
        kf__text_add(&d->text, "%s",
                     in.err == KF_ERR_TRUNCATED ? "the bytes end within a varint"
                                                : "a varint of more than 32 bits");
        kf__node_fail(d, d->in.at, name, in.err);
        return 0;
    }
    d->in = in;
    return value;
}

/* `fixed` bytes where lengths are not compact. Check d->in.err. */
static int64_t read_length(struct kf__dissector *d, const struct place *place, unsigned fixed)
{
    const uint8_t *at = d->in.at;
    const struct kf__row *row = place->row;
    int64_t length;
    if (d->flexible && !row->never_compact)
        length = (int64_t)read_varuint(d, place->name) - 1;
    else
        length = kf__read_int(d, place->name, fixed);
    if (d->in.err || length >= 0)
        return length;

    bool nullable = !place->element && kf__nullable(row, d->version);
    if (length == NULL_LENGTH && nullable)
        return length;
    if (length == NULL_LENGTH) {
        kf__text_add(&d->text, "null, which this version does not allow");
        kf__node_fail(d, at, place->name, KF_ERR_NULL_FIELD);
    } else {
        kf__text_add(&d->text, "a length of %lld", (long long)length);
        kf__node_fail(d, at, place->name, KF_ERR_BAD_COUNT);
    }
    return length;
}

static const char *sized_type(const struct kf__dissector *d, const struct kf__row *row)
{
    bool compact = d->flexible && !row->never_compact;
    if (row->type == KF__str)
        return compact ? "compact string" : "string";
    if (row->type == KF__bytes)
        return compact ? "compact bytes" : "bytes";
    return compact ? "compact records" : "records";
}

static bool same_name(const char *a, const char *b) { return strcmp(a, b) == 0; }

static void walk_string(struct kf__dissector *d, const struct place *place)
{
    const uint8_t *at = d->in.at;
    int64_t length = read_length(d, place, 2);
    if (d->in.err)
        return;
    if (length > LONGEST_STRING) {
        kf__text_add(&d->text, "a string of %lld bytes, %d are allowed", (long long)length,
                     LONGEST_STRING);
        kf__node_fail(d, at, place->name, KF_ERR_BAD_COUNT);
        return;
    }
    if (length > 0 && (size_t)length > kf__left(&d->in)) {
        fail_short(d, at, place->name, (unsigned long long)length, kf__left(&d->in));
        return;
    }
    const uint8_t *data = length < 0 ? NULL : kf__take(&d->in, (size_t)length);
    kf_string string = {(const char *)data, length < 0 ? 0 : (size_t)length};
    if (same_name(place->row_name, "protocol_type"))
        d->protocol_type = string;
    bool topic = same_name(place->row_name, "name") || same_name(place->row_name, "topic");
    if (topic && !d->inside) /* what its records say is no topic of theirs */
        d->topic = kf__internal_topic(string);
    if (d->schema == &kf_schema_of_request_header && !d->inside)
        d->facts->client_id = string;
    kf__text_string(&d->text, string.data, string.size);
    kf__node_field(d, at, place->name, sized_type(d, place->row));
}

/* ---- bytes that are messages of their own ---- */

static const kf_schema *consumer_protocol_of(const char *name)
{
    if (same_name(name, "metadata") || same_name(name, "member_metadata"))
        return &kf_schema_of_consumer_protocol_subscription;
    if (same_name(name, "assignment") || same_name(name, "member_assignment"))
        return &kf_schema_of_consumer_protocol_assignment;
    return NULL;
}

/* What members of a consumer group tell each other; NULL where it is something else. */
static const kf_schema *consumer_protocol(const struct kf__dissector *d, const char *name)
{
    bool group = d->schema->api_key >= KF_API_JOIN_GROUP && !d->inside &&
                 d->schema->api_key <= KF_API_DESCRIBE_GROUPS;
    return group ? consumer_protocol_of(name) : NULL;
}

/* A version that is not known yet is read as the newest known one, and its tail is no problem. */
static void walk_consumer_protocol(struct kf__dissector *d, const kf_schema *schema)
{
    int64_t version = kf__field_int(d, "version", 2);
    if (d->in.err)
        return;
    int16_t newest = schema->max_version;
    if (version < 0) {
        kf__text_add(&d->text, "version %d", (int)version);
        kf__node_fail(d, d->in.at, schema->name, KF_ERR_BAD_VERSION);
        return;
    }
    kf__dissect_embedded(d, schema, version > newest ? newest : (int16_t)version);
    if (!d->in.err && version > newest && kf__left(&d->in)) {
        const uint8_t *at = d->in.at;
        d->in.at = d->in.end;
        kf__text_add(&d->text, "of a version beyond %d", newest);
        kf__node_field(d, at, "tail", "bytes");
    }
}

/* Whether the next `size` bytes read as one without any problem. */
static bool reads_well(const struct kf__dissector *d, const kf_schema *schema, size_t size)
{
    kf_dissection facts;
    memset(&facts, 0, sizeof facts);
    struct kf__dissector trial = *d;
    trial.facts = &facts;
    trial.visit = NULL;
    struct kf__outer outer = kf__region_enter(&trial, size);
    walk_consumer_protocol(&trial, schema);
    kf__region_leave(&trial, outer, "");
    return facts.problems == 0;
}

static bool is_for_consumers(const struct kf__dissector *d, const kf_schema *schema, size_t size)
{
    static const char consumer[] = "consumer";
    kf_string type = d->protocol_type;
    if (!type.data) /* the version doesn't say what kind of group it is */
        return reads_well(d, schema, size);
    return type.size == sizeof consumer - 1 && memcmp(type.data, consumer, type.size) == 0;
}

enum content {
    CONTENT_PLAIN, /* bytes and no more */
    CONTENT_SECRET,
    CONTENT_BATCHES,
    CONTENT_CONSUMER_PROTOCOL,
    CONTENT_SASL,
    CONTENT_FORWARDED,
};

static bool is_message(const struct kf__dissector *d)
{
    return d->schema->kind == KF__REQUEST || d->schema->kind == KF__RESPONSE;
}

/* A delegation token's HMAC, which is its password, or a salted one: by the API, because a build
 * may have no names. */
static bool is_credential(const struct kf__dissector *d)
{
    int16_t key = d->schema->api_key;
    return is_message(d) &&
           ((key >= KF_API_CREATE_DELEGATION_TOKEN && key <= KF_API_DESCRIBE_DELEGATION_TOKEN) ||
            key == KF_API_ALTER_USER_SCRAM_CREDENTIALS);
}

/* What the next `size` bytes are, which the row calls bytes; what else there is to say in *name. */
static enum content content_of(const struct kf__dissector *d, const struct place *place,
                               size_t size, const char **name)
{
    const char *row_name = place->row_name;
    *name = NULL;
    if (size == 0)
        return CONTENT_PLAIN;
    /* A snapshot is cut anywhere, also within a batch. */
    if (place->row->type == KF__records && d->schema->api_key != KF_API_FETCH_SNAPSHOT)
        return CONTENT_BATCHES;
    const kf_schema *schema = consumer_protocol(d, row_name);
    if (schema && is_for_consumers(d, schema, size)) {
        *name = schema->name;
        return CONTENT_CONSUMER_PROTOCOL;
    }
    if (is_credential(d))
        return CONTENT_SECRET;
    if (is_message(d) && d->schema->api_key == KF_API_SASL_AUTHENTICATE) {
        struct kf__dissector message = *d;
        kf__region_enter(&message, size);
        *name = kf__sasl_name(&message, d->schema->kind == KF__REQUEST);
        return CONTENT_SASL;
    }
    bool answered = same_name(row_name, "response_data") && d->known && d->known->forwarded;
    return !d->inside && (same_name(row_name, "request_data") || answered) ? CONTENT_FORWARDED
                                                                           : CONTENT_PLAIN;
}

static void walk_opened(struct kf__dissector *d, const struct place *place, enum content content,
                        size_t size)
{
    bool request = d->schema->kind == KF__REQUEST;
    struct kf__outer outer = kf__region_enter(d, size);
    d->depth++;
    if (content == CONTENT_CONSUMER_PROTOCOL)
        walk_consumer_protocol(d, consumer_protocol_of(place->row_name));
    else if (content == CONTENT_SASL)
        kf__dissect_sasl(d, request);
    else if (content == CONTENT_FORWARDED)
        kf__dissect_forwarded(d, request);
    else
        kf__dissect_batches(d, !request);
    kf__region_leave(d, outer, place->name);
    d->depth--;
}

static void walk_bytes(struct kf__dissector *d, const struct place *place)
{
    const uint8_t *at = d->in.at;
    const struct kf__row *row = place->row;
    int64_t length = read_length(d, place, 4);
    if (d->in.err)
        return;
    size_t size = length < 0 ? 0 : (size_t)length;
    if (size > kf__left(&d->in)) {
        fail_short(d, at, place->name, size, kf__left(&d->in));
        return;
    }
    const char *name;
    enum content content = content_of(d, place, size, &name);
    if (content > CONTENT_SECRET) {
        kf__text_add(&d->text, "%zu bytes%s%s", size, name ? ": " : "", name ? name : "");
        kf__node_field(d, at, place->name, sized_type(d, row));
        walk_opened(d, place, content, size);
        return;
    }
    const uint8_t *data = length < 0 ? NULL : kf__take(&d->in, size);
    if (content == CONTENT_SECRET)
        kf__text_secret(d, size);
    else
        kf__text_bytes(&d->text, data, size);
    kf__node_field(d, at, place->name, sized_type(d, row));
}

/* ---- values of fixed size ---- */

/* What a number means beyond itself. */
static void add_meaning(struct kf__dissector *d, const struct place *place, int64_t value)
{
    const char *name = place->row_name;
    size_t size;
    if (place->row->type == KF__int16 && kf__name_ends_with(name, "error_code")) {
        kf__text_add(&d->text, " %s", value ? kf_err_name((kf_err)value) : "NONE");
    } else if (place->row->type == KF__int16 && kf__name_ends_with(name, "api_key")) {
        const char *api = kf_api_name((int16_t)value, &size);
        if (api)
            kf__text_add(&d->text, " %.*s", (int)size, api);
    } else if (place->row->type == KF__int64 &&
               (kf__name_ends_with(name, "timestamp") || kf__name_ends_with(name, "timestamp_ms") ||
                kf__name_ends_with(name, "time_ms"))) {
        enum {
            EARLIEST_MS = 1000000000 /* less is a duration */
        };
        if (value > EARLIEST_MS)
            kf__text_time(&d->text, value);
    }
}

/* The bytes must be there. */
static void add_fixed(struct kf__dissector *d, const struct kf__row *row, int64_t *value)
{
    *value = 0;
    switch (row->type) {
    case KF__boolean:
        kf__text_add(&d->text, "%s", kf__take_u8(&d->in) ? "true" : "false");
        return;
    case KF__int8:
        *value = kf__take_i8(&d->in);
        break;
    case KF__int16:
        *value = kf__take_i16(&d->in);
        break;
    case KF__uint16:
        *value = kf__take_u16(&d->in);
        break;
    case KF__int32:
        *value = kf__take_i32(&d->in);
        break;
    case KF__uint32:
        *value = kf__take_u32(&d->in);
        break;
    case KF__int64:
        *value = kf__take_i64(&d->in);
        break;
    case KF__float64:
        kf__text_add(&d->text, "%g", kf__take_f64(&d->in));
        return;
    default:
        kf__text_uuid(&d->text, kf__take(&d->in, sizeof(kf_uuid)));
        return;
    }
    kf__text_add(&d->text, "%lld", (long long)*value);
}

/* Whether an answer says topic's names beside their ids: the name stands first. */
static bool names_topics(const struct kf__dissector *d)
{
    int16_t key = d->schema->api_key;
    return d->schema->kind == KF__RESPONSE &&
           (key == KF_API_METADATA || key == KF_API_CREATE_TOPICS ||
            key == KF_API_DESCRIBE_TOPIC_PARTITIONS);
}

/* Learns which id an internal topic has, or looks it up. */
static void note_topic_id(struct kf__dissector *d, const uint8_t *id)
{
    kf_dissect_memory *known = d->known;
    bool learns = names_topics(d);
    if (learns && (!known || !d->topic))
        return;
    unsigned found = 0;
    for (unsigned topic = 0; known && topic < KF_INTERNAL_TOPICS; topic++)
        for (unsigned i = 0; i < known->topic_count[topic] && i < KF_DISSECT_TOPICS; i++)
            if (memcmp(&known->topics[topic][i], id, sizeof(kf_uuid)) == 0)
                found = topic + 1;
    if (learns && !found) {
        unsigned *count = &known->topic_count[d->topic - 1];
        memcpy(&known->topics[d->topic - 1][(*count)++ % KF_DISSECT_TOPICS], id, sizeof(kf_uuid));
    }
    if (!learns)
        d->topic = found;
}

static bool is_fixed(const struct kf__row *row) { return row->type <= KF__uuid; }

static void walk_fixed(struct kf__dissector *d, const struct place *place)
{
    const uint8_t *at = d->in.at;
    size_t size = kf__shapes[place->row->type].wire;
    int64_t value;
    if (kf__left(&d->in) < size) {
        fail_short(d, at, place->name, size, kf__left(&d->in));
        return;
    }
    add_fixed(d, place->row, &value);
    add_meaning(d, place, value);
    if (place->row->type == KF__uuid && same_name(place->row_name, "topic_id") && !d->inside)
        note_topic_id(d, at);
    kf__node_field(d, at, place->name, type_names[place->row->type]);
}

/* ---- structs and arrays ---- */

static void walk_pointer(struct kf__dissector *d, const struct place *place)
{
    const uint8_t *at = d->in.at;
    const struct kf__row *row = place->row;
    bool null = row->tag ? read_varuint(d, place->name) == 0 : kf__read_int(d, place->name, 1) < 0;
    if (d->in.err)
        return;
    if (null && !kf__nullable(row, d->version)) {
        kf__text_add(&d->text, "null, which this version does not allow");
        kf__node_fail(d, at, place->name, KF_ERR_NULL_FIELD);
        return;
    }
    kf__text_add(&d->text, null ? "null" : "present");
    kf__node_field(d, at, place->name, "nullable struct");
    if (null)
        return;
    d->depth++;
    kf__dissect_struct(d, kf__struct_at(row->of));
    d->depth--;
}

static void walk_value(struct kf__dissector *d, const struct place *place)
{
    switch (place->row->type) {
    case KF__str:
        walk_string(d, place);
        return;
    case KF__bytes:
    case KF__records:
        walk_bytes(d, place);
        return;
    case KF__struct:
        kf__node_enter(d, place->name, "struct");
        kf__dissect_struct(d, kf__struct_at(place->row->of));
        kf__node_leave(d);
        return;
    case KF__struct_pointer:
        walk_pointer(d, place);
        return;
    default:
        walk_fixed(d, place);
    }
}

static size_t least_element(const struct kf__dissector *d, const struct kf__row *row)
{
    size_t least = kf__shapes[row->type].wire;
    if (row->type == KF__struct)
        least = kf__min_wire_size(kf__struct_at(row->of), d->version, d->flexible);
    else if (row->type == KF__str)
        least = d->flexible ? 1 : 2;
    return least ? least : 1;
}

/* All elements in one node: lists of partitions and brokers are better read in a line. */
static void walk_numbers(struct kf__dissector *d, const struct place *place, const uint8_t *at,
                         int64_t count, const char *type)
{
    size_t size = kf__shapes[place->row->type].wire;
    const uint8_t *end = d->in.at + (size_t)count * size;
    int64_t value;
    kf__text_add(&d->text, "[");
    for (int64_t i = 0; i < count && i < KF__VALUE_NUMBERS; i++) {
        kf__text_add(&d->text, i ? ", " : "");
        add_fixed(d, place->row, &value);
    }
    kf__text_add(&d->text, count > KF__VALUE_NUMBERS ? "… (%lld)]" : "]", (long long)count);
    d->in.at = end;
    kf__node_field(d, at, place->name, type);
}

static void walk_array(struct kf__dissector *d, const struct place *place)
{
    const uint8_t *at = d->in.at;
    const struct kf__row *row = place->row;
    char type[32], name[24];
    snprintf(type, sizeof type, "%s[]%s", d->flexible ? "compact " : "", type_names[row->type]);

    /* Whatever the row says of its elements, a count is compact in a flexible version. */
    struct kf__row counted = *row;
    counted.never_compact = false;
    struct place whole = {&counted, place->row_name, place->name, false};
    int64_t count = read_length(d, &whole, 4);
    if (d->in.err)
        return;
    if (count > 0 && (uint64_t)count > kf__left(&d->in) / least_element(d, row)) {
        kf__text_add(&d->text, "a count of %lld elements, but only %zu bytes are left",
                     (long long)count, kf__left(&d->in));
        kf__node_fail(d, at, place->name, KF_ERR_BAD_COUNT);
        return;
    }
    if (count > 0 && is_fixed(row)) {
        walk_numbers(d, place, at, count, type);
        return;
    }
    if (count < 0)
        kf__text_add(&d->text, "null");
    else
        kf__text_add(&d->text, "%lld element%s", (long long)count, count == 1 ? "" : "s");
    kf__node_field(d, at, place->name, type);
    d->depth++;
    for (int64_t i = 0; i < count && !d->in.err; i++) {
        snprintf(name, sizeof name, "[%lld]", (long long)i);
        struct place element = {row, place->row_name, name, true};
        walk_value(d, &element);
    }
    d->depth--;
}

/* A build may leave the fields' names out (KF__WITHOUT_NAMES): then all are "". */
static const char *first_name(const struct kf__struct *type)
{
    const char *names = kf__names_of(type);
    return names ? names : "";
}

static const char *next_name(const char *name) { return *name ? name + strlen(name) + 1 : name; }

static void walk_row(struct kf__dissector *d, const struct kf__row *row, const char *row_name)
{
    char name[KF__FIELD_NAME_BYTES];
    kf_field_json_name(row_name, name, sizeof name);
    struct place place = {row, row_name, name, false};
    if (row->array)
        walk_array(d, &place);
    else
        walk_value(d, &place);
}

/* ---- tagged fields ---- */

static const struct kf__row *find_tagged(const struct kf__struct *type, uint32_t tag,
                                         const char **name)
{
    const struct kf__row *row = kf__rows_of(type);
    *name = first_name(type);
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        if (row->tag == tag + 1)
            return row;
        *name = next_name(*name);
    }
    return NULL;
}

/* Its content must fill the size exactly. */
static void walk_known_tag(struct kf__dissector *d, const struct kf__row *row, const char *name,
                           size_t size)
{
    bool inside = d->inside;
    struct kf__outer outer = kf__region_enter(d, size);
    d->inside = inside; /* an error in it is the message's */
    d->depth++;
    kf_err before = d->facts->err;
    walk_row(d, row, name);
    if (!before && !inside && (d->facts->err == KF_ERR_TRUNCATED))
        d->facts->err = KF_ERR_BAD_TAG;
    kf__region_leave(d, outer, name);
    d->depth--;
}

static void fail_tag(struct kf__dissector *d, const uint8_t *at, const char *why, uint32_t tag)
{
    kf__text_add(&d->text, "tag %u %s", tag, why);
    kf__node_fail(d, at, "_tags", KF_ERR_BAD_TAG);
}

/* One tag; returns it. */
static int64_t walk_tag(struct kf__dissector *d, const struct kf__struct *type, int64_t last)
{
    const uint8_t *at = d->in.at;
    uint32_t tag = read_varuint(d, "_tags");
    uint32_t size = d->in.err ? 0 : read_varuint(d, "_tags");
    if (d->in.err) {
        d->stop = at;
        return last;
    }
    const char *name;
    const struct kf__row *row = find_tagged(type, tag, &name);
    if ((int64_t)tag <= last)
        fail_tag(d, at, "stands twice or out of order", tag);
    else if (row && !kf__in_version(row, d->version))
        fail_tag(d, at, "does not belong to this version", tag);
    else if (size > kf__left(&d->in))
        fail_short(d, at, "_tags", size, kf__left(&d->in));
    if (d->in.err)
        return tag;

    char title[KF__FIELD_NAME_BYTES];
    snprintf(title, sizeof title, "tag %u", tag);
    if (row) {
        kf__text_add(&d->text, "%u bytes", size);
        kf__node_field(d, at, title, "tag, size");
        walk_known_tag(d, row, name, size);
    } else {
        const uint8_t *content = kf__take(&d->in, size);
        kf__text_bytes(&d->text, content, size);
        kf__node_field(d, at, title, "unknown tag");
    }
    return tag;
}

static void walk_tags(struct kf__dissector *d, const struct kf__struct *type)
{
    const uint8_t *at = d->in.at;
    uint32_t count = read_varuint(d, "_tags");
    if (d->in.err)
        return;
    if (count > kf__left(&d->in) / LEAST_TAG) {
        kf__text_add(&d->text, "a count of %u tags, but only %zu bytes are left", count,
                     kf__left(&d->in));
        kf__node_fail(d, at, "_tags", KF_ERR_BAD_COUNT);
        return;
    }
    kf__text_add(&d->text, count ? "%u" : "none", count);
    kf__node_field(d, at, "_tags", "varint");
    int64_t last = -1;
    d->depth++;
    for (uint32_t i = 0; i < count && !d->in.err; i++)
        last = walk_tag(d, type, last);
    d->depth--;
}

void kf__dissect_struct(struct kf__dissector *d, const struct kf__struct *type)
{
    const struct kf__row *row = kf__rows_of(type);
    const char *name = first_name(type);
    for (const struct kf__row *end = row + type->count; row < end && !d->in.err; row++) {
        if (row->type != KF__none && !row->tag && kf__in_version(row, d->version))
            walk_row(d, row, name);
        name = next_name(name);
    }
    if (d->flexible && !d->in.err)
        walk_tags(d, type);
}

void kf__dissect_embedded(struct kf__dissector *d, const kf_schema *schema, int16_t version)
{
    const kf_schema *outer = d->schema;
    int16_t outer_version = d->version;
    bool outer_flexible = d->flexible;
    d->schema = schema;
    d->version = version;
    d->flexible = kf_schema_is_flexible(schema, version);
    kf__dissect_struct(d, kf__struct_at(schema->root));
    d->schema = outer;
    d->version = outer_version;
    d->flexible = outer_flexible;
}
