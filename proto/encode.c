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
    const struct kf_tags *tail; /* of a message that may have one, else NULL */
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

/* Two numbers side by side. */
static inline void set_pair(uint8_t *at, const char *values)
{
    uint32_t pair[2];
    memcpy(pair, values, sizeof pair);
    kf__set_u32(at, pair[0]);
    kf__set_u32(at + 4, pair[1]);
}

/* These return what stands behind them. Most arrays have one to three numbers: no loop for those.
 */
static inline uint8_t *set_32s(uint8_t *at, const char *values, size_t count)
{
    for (; count >= 4; count -= 4, values += 16, at += 16) {
        set_pair(at, values);
        set_pair(at + 8, values + 8);
    }
    if (count & 2) {
        set_pair(at, values);
        at += 8;
        values += 8;
    }
    if (count & 1) {
        uint32_t last;
        memcpy(&last, values, sizeof last);
        kf__set_u32(at, last);
        at += sizeof last;
    }
    return at;
}

static inline uint8_t *set_64s(uint8_t *at, const char *values, size_t count)
{
    for (; count; count--, values += sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t wide;
        memcpy(&wide, values, sizeof wide);
        kf__set_u64(at, wide);
    }
    return at;
}

static void write_int32s(struct encoder *e, struct kf__array array)
{
    uint8_t *room = kf__room(e->out, (size_t)array.count * sizeof(int32_t));
    if (room)
        set_32s(room, array.items, (size_t)array.count);
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

/* ---- a struct by its plan ---- */

/* Long values: what makes room for itself, and then again for what is left of the struct. */
static uint8_t *set_long(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                         const struct kf__step *step, const char *field)
{
    kf__commit(e->out, at);
    write_field(e, step->row, field);
    return kf__reserve(e->out, plan->room);
}

/* How many tagged fields have something to say; what the version lacks must have nothing. */
static uint32_t check_others(struct encoder *e, const struct kf__plan *plan, const char *message)
{
    uint32_t tagged = 0;
    const struct kf__step *end = kf__others_end(plan);
    for (const struct kf__step *step = plan->others; step < end; step++) {
        if (step->kind == KF__STEP_DROPPED || kf__is_default(step->row, message + step->place))
            continue;
        if (step->kind == KF__STEP_ABSENT)
            kf__writer_fail(e->out, KF_ERR_FIELD_NOT_IN_VERSION);
        tagged++;
    }
    return tagged;
}

/* Tags go in place of the byte that says that there are none. */
static uint8_t *set_others(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                           const char *message)
{
    bool known = plan->others < kf__others_end(plan);
    uint32_t tagged = known ? check_others(e, plan, message) : 0;
    if (!tagged && kf__unknown_tags(plan->type, message)->count == 0)
        return at;
    if (!tagged && kf__unknown_tags(plan->type, message) == e->tail)
        return at; /* written last */
    if (e->flexible) {
        kf__commit(e->out, at - 1);
        write_tags(e, plan->type, message, tagged);
    } else {
        kf__writer_fail(e->out, KF_ERR_FIELD_NOT_IN_VERSION);
    }
    return kf__reserve(e->out, 0);
}

static uint8_t *set_fixed(uint8_t *at, const struct kf__step *step, const char *field)
{
    uint16_t half;
    switch ((enum kf__step_kind)step->kind) {
    case KF__STEP_16:
        memcpy(&half, field, sizeof half);
        kf__set_u16(at, half);
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

/* Values whose length is one byte; NULL: take the long way. */
static inline uint8_t *set_short(uint8_t *at, const struct kf__step *step, const char *field)
{
    _Static_assert(sizeof(kf_string) == sizeof(kf_bytes), "both are read as bytes here");
    if (step->kind == KF__STEP_BYTES) {
        kf_bytes bytes;
        memcpy(&bytes, field, sizeof bytes);
        *at = 0;
        if (!bytes.data)
            return step->nullable ? at + 1 : NULL;
        if (bytes.size > KF__SHORT_LENGTH)
            return NULL;
        *at = (uint8_t)(bytes.size + 1);
        memcpy(at + 1, bytes.data, bytes.size);
        return at + 1 + bytes.size;
    }
    struct kf__array array = kf__array_get(field);
    *at = (uint8_t)(array.count + 1);
    if (array.count == -1)
        return step->nullable ? at + 1 : NULL;
    uint32_t most = step->kind == KF__STEP_INT32S ? KF__SHORT_LENGTH / sizeof(int32_t) : 0;
    if ((uint32_t)array.count > most)
        return NULL;
    return set_32s(at + 1, array.items, (uint32_t)array.count);
}

/* Writes where there is room of plan->room; returns what stands behind it, NULL after an error. */
static inline uint8_t *set_struct(struct encoder *e, uint8_t *at, const struct kf__plan *plan,
                                  const char *message)
{
    const struct kf__step *step = plan->steps;
    for (; at && step->kind != KF__STEP_END; step++) {
        const char *field = message + step->place;
        if (step->kind <= KF__STEP_UUID) {
            at = set_fixed(at, step, field);
            continue;
        }
        uint8_t *next = step->kind < KF__STEP_VALUE ? set_short(at, step, field) : NULL;
        at = next ? next : set_long(e, at, plan, step, field);
    }
    if (!at)
        return NULL;
    *at = 0; /* no tags */
    return set_others(e, at + step->least, plan, message);
}

/* Room for all that is fixed or short is made once for each. */
static void write_items(struct encoder *e, const struct kf__struct *type, const void *items,
                        int32_t count)
{
    KF__UNINITIALIZED struct kf__plan plan;
    kf__plan_make(&plan, type, e->version, e->flexible);
    kf_writer *out = e->out;
    uint8_t *at = kf__reserve(out, plan.room);
    for (const char *item = items; at && count; count--, item += type->size) {
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

static void write_tail(struct encoder *e)
{
    const struct kf_tag *tail = e->tail->items;
    if (e->tail->count == 1 && tail->tag == KF_TAIL)
        kf_writer_put(e->out, tail->bytes.data, tail->bytes.size);
    else
        kf__writer_fail(e->out, KF_ERR_BAD_TAG);
}

kf_err kf_encode(const kf_schema *schema, int16_t version, const void *message, kf_writer *writer)
{
    if (!kf__has_version(schema, &version)) {
        kf__writer_fail(writer, KF_ERR_BAD_VERSION);
        return writer->err;
    }
    const struct kf__struct *type = kf__struct_at(schema->root);
    bool tailed = schema->kind == KF__TAILED;
    struct encoder e = {writer, version, kf_schema_is_flexible(schema, version),
                        tailed ? kf__unknown_tags(type, message) : NULL};
    write_one(&e, type, message);
    if (tailed && e.tail->count)
        write_tail(&e);
    return writer->err;
}
