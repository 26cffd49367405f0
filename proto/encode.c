/*
 * encode: a struct to bytes, by the message's rows. What the version can't
 * say is an error, not a loss.
 */
#include "proto/schema.h"
#include "proto/writer.h"

struct encoder {
    kf_writer *out;
    int16_t version;
    bool flexible;
};

enum {
    LONGEST_STRING = 0x7FFF
};

static void write_items(struct encoder *e, const struct kf__struct *type, const void *items,
                        int32_t count);
static void write_one(struct encoder *e, const struct kf__struct *type, const void *message);

static bool refuse_null(struct encoder *e, const struct kf__row *row, bool element)
{
    if (!element && kf__nullable(row, e->version))
        return false;
    kf__writer_fail(e->out, KF_ERR_NULL_FIELD);
    return true;
}

static void write_string(struct encoder *e, const struct kf__row *row, const kf_string *text)
{
    bool compact = e->flexible && !row->never_compact;
    if (text->size > LONGEST_STRING) {
        kf__writer_fail(e->out, KF_ERR_BAD_COUNT);
        return;
    }
    if (!text->data && refuse_null(e, row, row->array))
        return;
    if (compact)
        kf__put_varuint32(e->out, text->data ? (uint32_t)text->size + 1 : 0);
    else
        kf__put_u16(e->out, text->data ? (uint16_t)text->size : UINT16_MAX);
    if (text->data)
        kf_writer_put(e->out, text->data, text->size);
}

static void write_length(struct encoder *e, const struct kf__row *row, int64_t length)
{
    if (e->flexible && length >= 0 && length < 0x7F) { /* nearly always */
        kf__put_u8(e->out, (uint8_t)(length + 1));
        return;
    }
    if (length > INT32_MAX || length < -1) {
        kf__writer_fail(e->out, KF_ERR_BAD_COUNT);
        return;
    }
    if (length < 0 && refuse_null(e, row, false))
        return;
    if (e->flexible)
        kf__put_varuint32(e->out, (uint32_t)(length + 1));
    else
        kf__put_u32(e->out, (uint32_t)length);
}

static void write_bytes(struct encoder *e, const struct kf__row *row, const kf_bytes *bytes)
{
    if (bytes->size > INT32_MAX) {
        kf__writer_fail(e->out, KF_ERR_BAD_COUNT);
        return;
    }
    write_length(e, row, bytes->data ? (int64_t)bytes->size : -1);
    if (!bytes->data)
        return;
    if (row->type == KF__records)
        kf__writer_splice(e->out, *bytes);
    else
        kf_writer_put(e->out, bytes->data, bytes->size);
}

static void write_pointer(struct encoder *e, const struct kf__row *row, const void *message)
{
    if (!message && refuse_null(e, row, false))
        return;
    kf__put_u8(e->out, message ? 1 : row->tag ? 0 : UINT8_MAX);
    if (message)
        write_one(e, kf__struct_at(row->of), message);
}

static void write_double(struct encoder *e, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    kf__put_u64(e->out, bits);
}

static void write_value(struct encoder *e, const struct kf__row *row, const void *value)
{
    switch (row->type) {
    case KF__boolean:
        kf__put_u8(e->out, *(const bool *)value);
        break;
    case KF__int8:
        kf__put_u8(e->out, *(const uint8_t *)value);
        break;
    case KF__int16:
    case KF__uint16:
        kf__put_u16(e->out, *(const uint16_t *)value);
        break;
    case KF__int32:
    case KF__uint32:
        kf__put_u32(e->out, *(const uint32_t *)value);
        break;
    case KF__int64:
        kf__put_u64(e->out, *(const uint64_t *)value);
        break;
    case KF__float64:
        write_double(e, *(const double *)value);
        break;
    case KF__uuid:
        kf_writer_put(e->out, value, sizeof(kf_uuid));
        break;
    case KF__str:
        write_string(e, row, value);
        break;
    case KF__bytes:
    case KF__records:
        write_bytes(e, row, value);
        break;
    case KF__struct:
        write_one(e, kf__struct_at(row->of), value);
        break;
    case KF__struct_pointer:
        write_pointer(e, row, kf__pointer_get(value));
        break;
    }
}

static void write_int32s(struct encoder *e, struct kf__array array)
{
    const uint32_t *item = array.items;
    uint8_t *room = kf__room(e->out, (size_t)array.count * sizeof *item);
    for (int32_t i = 0; room && i < array.count; i++)
        kf__set_u32(room + (size_t)i * sizeof *item, item[i]);
}

static void write_array(struct encoder *e, const struct kf__row *row, const void *field)
{
    struct kf__array array = kf__array_get(field);
    write_length(e, row, array.count);
    if (array.count <= 0)
        return;
    if (row->type == KF__struct) {
        write_items(e, kf__struct_at(row->of), array.items, array.count);
        return;
    }
    if (row->type == KF__int32) {
        write_int32s(e, array);
        return;
    }
    size_t step = kf__element_size(row);
    for (int32_t i = 0; i < array.count && !e->out->err; i++)
        write_value(e, row, (const char *)array.items + (size_t)i * step);
}

static void write_field(struct encoder *e, const struct kf__row *row, const void *field)
{
    if (row->array)
        write_array(e, row, field);
    else
        write_value(e, row, field);
}

static size_t varuint_size(size_t value)
{
    size_t size = 1;
    while (value >>= 7)
        size++;
    return size;
}

/* The content is written first; its size then goes in front of it. */
static void write_tagged(struct encoder *e, const struct kf__row *row, const void *field)
{
    kf_writer *out = e->out;
    bool splice = out->splice;
    out->splice = false; /* what moves must be owned */
    size_t start = out->used;
    write_field(e, row, field);
    size_t size = out->used - start;
    size_t head = varuint_size(size);
    if (size > INT32_MAX)
        kf__writer_fail(out, KF_ERR_BAD_COUNT);
    if (kf__room(out, head)) {
        memmove(out->bytes + start + head, out->bytes + start, size);
        out->used = start;
        kf__put_varuint32(out, (uint32_t)size);
        out->used = start + head + size;
        out->total -= head;
    }
    out->splice = splice;
}

/* The row with the lowest tag from `least` on whose field has something to say. */
static const struct kf__row *next_tagged(const struct encoder *e, const struct kf__struct *type,
                                         const void *message, int64_t least, const void **field)
{
    const struct kf__row *next = NULL;
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        const void *here = (const char *)message + kf__place(row, &at);
        if (!row->tag || row->tag - 1 < least || !kf__in_version(row, e->version))
            continue;
        if ((next && next->tag < row->tag) || kf__is_default(row, here))
            continue;
        next = row;
        *field = here;
    }
    return next;
}

static void write_unknown(struct encoder *e, const struct kf_tag *tag)
{
    if (tag->bytes.size > INT32_MAX)
        kf__writer_fail(e->out, KF_ERR_BAD_COUNT);
    kf__put_varuint32(e->out, tag->tag);
    kf__put_varuint32(e->out, (uint32_t)tag->bytes.size);
    kf_writer_put(e->out, tag->bytes.data, tag->bytes.size);
}

/* Known and unknown ones, `known` of the former, merged in ascending order. */
static void write_tags(struct encoder *e, const struct kf__struct *type, const void *message,
                       uint32_t known)
{
    const struct kf_tags *unknown = kf__unknown_tags(type, message);
    kf__put_varuint32(e->out, known + (uint32_t)unknown->count);
    int64_t least = 0;
    int32_t i = 0;
    while (known || i < unknown->count) {
        const void *field = NULL;
        const struct kf__row *row = known ? next_tagged(e, type, message, least, &field) : NULL;
        int64_t tag = row ? row->tag - 1 : INT64_MAX;
        bool from_unknown = i < unknown->count && unknown->items[i].tag <= tag;
        if (from_unknown)
            tag = unknown->items[i].tag;
        if (tag < least || (!row && !from_unknown)) {
            kf__writer_fail(e->out, KF_ERR_BAD_TAG);
            return;
        }
        least = tag + 1;
        if (from_unknown) {
            write_unknown(e, &unknown->items[i++]);
        } else {
            kf__put_varuint32(e->out, (uint32_t)tag);
            write_tagged(e, row, field);
            known--;
        }
    }
}

/* ---- the short way: what has its room already ---- */

static uint8_t *set_32s(uint8_t *at, const void *values, size_t count)
{
    for (const char *value = values; count; count--, value += sizeof(uint32_t)) {
        uint32_t word;
        memcpy(&word, value, sizeof word);
        kf__set_u32(at, word);
        at += sizeof word;
    }
    return at;
}

static uint8_t *set_64s(uint8_t *at, const void *values, size_t count)
{
    for (const char *value = values; count; count--, value += sizeof(uint64_t)) {
        uint64_t wide;
        memcpy(&wide, value, sizeof wide);
        kf__set_u32(at, (uint32_t)(wide >> 32));
        kf__set_u32(at + 4, (uint32_t)wide);
        at += sizeof wide;
    }
    return at;
}

static uint8_t *set_fixed(uint8_t *at, const struct kf__step *step, const void *field)
{
    uint16_t half;
    switch ((enum kf__step_kind)step->kind) {
    case KF__STEP_16:
        memcpy(&half, field, sizeof half);
        at[0] = (uint8_t)(half >> 8);
        at[1] = (uint8_t)half;
        return at + sizeof half;
    case KF__STEP_32:
        return set_32s(at, field, step->times);
    case KF__STEP_64:
        return set_64s(at, field, step->times);
    case KF__STEP_UUID:
        memcpy(at, field, sizeof(kf_uuid));
        return at + sizeof(kf_uuid);
    default:
        memcpy(at, field, 1);
        return at + 1;
    }
}

/* Whether a value of `size` bytes has a length of one byte, and room for both and `more`. */
static bool is_short(const struct encoder *e, const uint8_t *at, size_t length, size_t size,
                     size_t more)
{
    const kf_writer *out = e->out;
    return e->flexible && length < 0x7F && (size_t)(out->bytes + out->capacity - at) >= size + more;
}

/* The byte behind a short value; NULL: take the long way. */
static uint8_t *set_short(const struct encoder *e, uint8_t *at, const struct kf__step *step,
                          const void *field, size_t more)
{
    if (step->kind == KF__STEP_INT32S) {
        struct kf__array array = kf__array_get(field);
        size_t count = (size_t)array.count;
        if (!is_short(e, at, count, count * sizeof(int32_t), more))
            return NULL;
        *at++ = (uint8_t)(count + 1);
        return set_32s(at, array.items, count);
    }
    _Static_assert(sizeof(kf_string) == sizeof(kf_bytes), "both are read as bytes here");
    kf_bytes bytes;
    memcpy(&bytes, field, sizeof bytes);
    if (!bytes.data || !is_short(e, at, bytes.size, bytes.size, more))
        return NULL;
    *at++ = (uint8_t)(bytes.size + 1);
    memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

/* Long values, tags: what makes room for itself, and then again for what is left of a struct. */
static uint8_t *set_long(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                         const struct kf__step *step, const void *field)
{
    kf__commit(e->out, at);
    write_field(e, step->row, field);
    return kf__reserve(e->out, plan->room);
}

static uint8_t *set_tags(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                         const void *message, uint32_t tagged)
{
    kf__commit(e->out, at);
    if (e->flexible)
        write_tags(e, plan->type, message, tagged);
    else
        kf__writer_fail(e->out, KF_ERR_FIELD_NOT_IN_VERSION);
    return kf__reserve(e->out, plan->room);
}

/* How many tagged fields have something to say; what the version lacks must have nothing. */
static uint32_t check_others(struct encoder *e, const struct kf__plan *plan, const char *message)
{
    uint32_t tagged = 0;
    const struct kf__step *step = plan->steps + plan->values;
    for (const struct kf__step *end = plan->steps + plan->count; step < end; step++) {
        if (step->kind == KF__STEP_DROPPED || kf__is_default(step->row, message + step->place))
            continue;
        if (step->kind == KF__STEP_ABSENT)
            kf__writer_fail(e->out, KF_ERR_FIELD_NOT_IN_VERSION);
        tagged++;
    }
    return tagged;
}

/* Writes where there is room of plan->room; returns what stands behind it, NULL after an error. */
static uint8_t *set_struct(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                           const char *message)
{
    const struct kf__step *step = plan->steps;
    for (const struct kf__step *end = step + plan->values; at && step < end; step++) {
        const void *field = message + step->place;
        if (step->kind <= KF__STEP_UUID) {
            at = set_fixed(at, step, field);
            continue;
        }
        uint8_t *next =
            step->kind == KF__STEP_VALUE ? NULL : set_short(e, at, step, field, plan->room);
        at = next ? next : set_long(e, at, plan, step, field);
    }
    uint32_t tagged = check_others(e, plan, message);
    if (at && (tagged || kf__unknown_tags(plan->type, message)->count != 0))
        return set_tags(e, at, plan, message, tagged);
    if (at && e->flexible)
        *at++ = 0;
    return at;
}

/* Room for all that has a known size is made once for each. */
static void write_items(struct encoder *e, const struct kf__struct *type, const void *items,
                        int32_t count)
{
    struct kf__plan plan;
    kf__plan_make(&plan, type, e->version);
    kf_writer *out = e->out;
    uint8_t *at = kf__reserve(out, plan.room);
    const char *item = items;
    for (int32_t i = 0; at && i < count; i++, item += type->size) {
        if ((size_t)(out->bytes + out->capacity - at) < plan.room) {
            kf__commit(out, at);
            at = kf__reserve(out, plan.room);
        }
        if (at)
            at = set_struct(e, at, &plan, item);
    }
    if (at)
        kf__commit(out, at);
}

static void write_one(struct encoder *e, const struct kf__struct *type, const void *message)
{
    write_items(e, type, message, 1);
}

kf_err kf_encode(const kf_schema *schema, int16_t version, const void *message, kf_writer *writer)
{
    if (!kf__has_version(schema, version)) {
        kf__writer_fail(writer, KF_ERR_BAD_VERSION);
        return writer->err;
    }
    struct encoder e = {writer, version, kf_schema_is_flexible(schema, version)};
    write_one(&e, kf__struct_at(schema->root), message);
    return writer->err;
}
