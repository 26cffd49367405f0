/*
 * encode: a struct to bytes, by the message's rows. What the version can't
 * say is an error, not a loss.
 */
#include "proto/bytes/writer.h"
#include "proto/codec/moves.h"

struct series;

struct encoder {
    kf_writer *out;
    int16_t version;
    bool flexible;
    const struct kf_tags *tail; /* of a message that may have one, else NULL */
    struct series *series;      /* where the next structs' moves go, or are from the last time */
};

enum {
    LONGEST_STRING = 0x7FFF,
    MANY = 4, /* structs of one type */
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
    uint64_t pair;
    memcpy(&pair, values, sizeof pair);
    kf__set_u64(at, kf__is_little_endian() ? pair << 32 | pair >> 32 : pair);
}

/* Returns what stands behind them. In pairs, of which the last may overlap the one before it. */
static uint8_t *set_32s(uint8_t *at, const char *values, size_t count)
{
    uint8_t *end = at + count * sizeof(uint32_t);
    const char *last = values + count * sizeof(uint32_t) - sizeof(uint64_t);
    if (count < 2) {
        uint32_t one = 0;
        memcpy(&one, values, count * sizeof one);
        if (count)
            kf__set_u32(at, one);
        return end;
    }
    for (; count > 2; count -= 2, at += sizeof(uint64_t), values += sizeof(uint64_t))
        set_pair(at, values);
    set_pair(end - sizeof(uint64_t), last);
    return end;
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

/* ---- structs of one type, one after the other, by their moves (moves.h) ---- */

/* Writing one array, or one struct. */
struct series {
    struct encoder *encoder;
    const uint8_t *limit;          /* up to here there is room for one more struct */
    const struct kf__moves *moves; /* NULL: of no type yet */
    struct kf__moves own;          /* where they are not kept */
};

static uint8_t *make_room(struct series *series)
{
    kf_writer *out = series->encoder->out;
    uint8_t *at = kf__reserve(out, series->moves->room);
    if (at)
        series->limit = out->bytes + out->capacity - series->moves->room;
    return at;
}

static KF__NOINLINE uint8_t *make_more_room(struct series *series, uint8_t *at)
{
    kf__commit(series->encoder->out, at);
    return make_room(series);
}

/* Long values: what makes room for itself, and then again for what is left of the struct. */
static KF__NOINLINE uint8_t *set_long(struct series *series, uint8_t *at, const struct kf__row *row,
                                      const char *field)
{
    kf__commit(series->encoder->out, at);
    write_field(series->encoder, row, field);
    return make_room(series);
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
static KF__NOINLINE uint8_t *set_others(struct series *series, uint8_t *at, const char *message)
{
    struct encoder *e = series->encoder;
    const struct kf__plan *plan = &series->moves->plan;
    const struct kf_tags *unknown = kf__unknown_tags(plan->type, message);
    uint32_t tagged = check_others(e, plan, message);
    if (!tagged && (unknown->count == 0 || unknown == e->tail)) /* the tail is written last */
        return at;
    if (e->flexible) {
        kf__commit(e->out, at - 1);
        write_tags(e, plan->type, message, tagged);
    } else {
        kf__writer_fail(e->out, KF_ERR_FIELD_NOT_IN_VERSION);
    }
    return make_room(series);
}

static inline uint8_t *set_number(uint8_t *at, const struct kf__move *move, const char *field)
{
    uint64_t bits;
    memcpy(&bits, field, sizeof bits);
    kf__set_u64(at, bits >> move->turn | bits << (-move->turn & 63));
    return at + move->bytes;
}

/* Of those that lie side by side. */
static inline size_t index_of(const char *begin, const char *field)
{
    _Static_assert(sizeof(kf_bytes) == sizeof(struct kf__array), "both lie so far apart");
    return (size_t)(field - begin) / sizeof(kf_bytes);
}

/* As many as there are seldom. */
static KF__NOINLINE uint8_t *set_more_int32s(struct series *series, uint8_t *at,
                                             const struct kf__row *row, const char *field)
{
    struct kf__array array = kf__array_get(field);
    if (array.count < 1 || (size_t)array.count > KF__SHORT_LENGTH / sizeof(int32_t))
        return set_long(series, at, row, field);
    *at = (uint8_t)(array.count + 1);
    return set_32s(at + 1, array.items, (size_t)array.count);
}

static inline uint8_t *set_int32s(struct series *series, uint8_t *at, const struct kf__move *move,
                                  const char *field)
{
    const char *begin = field, *end = field + move->times * sizeof(struct kf__array);
    do {
        struct kf__array array = kf__array_get(field);
        size_t count = (uint32_t)array.count;
        if (KF__LIKELY(count - 2 <= 2)) { /* two pairs, which may overlap: a partition's replicas */
            const char *last = (const char *)array.items + (count - 2) * sizeof(int32_t);
            *at++ = (uint8_t)(count + 1);
            set_pair(at, array.items);
            at += count * sizeof(int32_t);
            set_pair(at - sizeof(uint64_t), last);
        } else if (count == 0) {
            *at++ = 1;
        } else {
            at = set_more_int32s(series, at, move->row + index_of(begin, field), field);
        }
        field += sizeof(struct kf__array);
    } while (field < end && at);
    return at;
}

/* Up to 128 bytes, from both ends: pieces may overlap, nothing beyond the bytes is touched. */
static inline uint8_t *copy_short(uint8_t *at, const uint8_t *from, size_t size)
{
    uint8_t *end = at + size;
    const uint8_t *from_end = from + size;
    if (KF__LIKELY(size >= 16)) {
        memcpy(at, from, 16);
        memcpy(end - 16, from_end - 16, 16);
        if (size <= 32)
            return end;
        memcpy(at + 16, from + 16, 16);
        memcpy(end - 32, from_end - 32, 16);
        if (size <= 64)
            return end;
        memcpy(at + 32, from + 32, 32);
        memcpy(end - 64, from_end - 64, 32);
    } else if (size >= 8) {
        memcpy(at, from, 8);
        memcpy(end - 8, from_end - 8, 8);
    } else if (size >= 4) {
        memcpy(at, from, 4);
        memcpy(end - 4, from_end - 4, 4);
    } else if (size) {
        at[0] = from[0];
        at[size / 2] = from[size / 2];
        end[-1] = from_end[-1];
    }
    return end;
}

static inline uint8_t *set_bytes(struct series *series, uint8_t *at, const struct kf__move *move,
                                 const char *field)
{
    _Static_assert(sizeof(kf_string) == sizeof(kf_bytes), "both are read as bytes here");
    const char *begin = field, *end = field + move->times * sizeof(kf_bytes);
    do {
        kf_bytes bytes;
        memcpy(&bytes, field, sizeof bytes);
        if (KF__LIKELY(bytes.data && bytes.size <= KF__SHORT_LENGTH)) {
            *at = (uint8_t)(bytes.size + 1);
            at = copy_short(at + 1, bytes.data, bytes.size);
        } else if (!bytes.data && move->nullable >> index_of(begin, field) & 1) {
            *at++ = 0;
        } else {
            at = set_long(series, at, move->row + index_of(begin, field), field);
        }
        field += sizeof bytes;
    } while (field < end && at);
    return at;
}

/* What is seldom where it matters. */
static KF__NOINLINE uint8_t *set_other_kind(struct series *series, uint8_t *at,
                                            const struct kf__move *move, const char *field)
{
    if (move->kind == KF__MOVE_UUID) {
        memcpy(at, field, sizeof(kf_uuid));
        return at + sizeof(kf_uuid);
    }
    if (move->kind == KF__MOVE_ARRAY && kf__array_get(field).count == 0) {
        *at = 1;
        return at + 1;
    }
    return set_long(series, at, move->row, field);
}

/* Writes where there is room for one; returns what stands behind it, NULL after an error. */
static inline uint8_t *set_struct(struct series *series, const struct kf__moves *moves, uint8_t *at,
                                  const char *message)
{
    for (const struct kf__move *move = moves->items; move->kind != KF__MOVE_END; move++) {
        const char *field = message + move->place;
        if (move->kind == KF__MOVE_SHUFFLED) {
            kf__shuffle(at, field, moves->orders[move - moves->items]);
            at += move->bytes;
            continue;
        }
        if (move->kind == KF__MOVE_BYTES)
            at = set_bytes(series, at, move, field);
        else if (move->kind == KF__MOVE_INT32S)
            at = set_int32s(series, at, move, field);
        else if (move->kind == KF__MOVE_NUMBER)
            at = set_number(at, move, field);
        else
            at = set_other_kind(series, at, move, field);
        if (KF__UNLIKELY(!at))
            return NULL;
    }
    *at = 0; /* no tags */
    at += moves->flexible;
    const struct kf_tags *tags = (const void *)(message + moves->tags);
    return KF__UNLIKELY(moves->others || tags->count) ? set_others(series, at, message) : at;
}

/* Room for all that is fixed or short is made once for each. */
static void write_each(struct series *series, const char *item, size_t count)
{
    const struct kf__moves *moves = series->moves;
    const char *end = item + count * moves->size;
    uint8_t *at = make_room(series);
    for (; at && item < end; item += moves->size) {
        if (KF__UNLIKELY(at > series->limit) && !(at = make_more_room(series, at)))
            return;
        at = set_struct(series, moves, at, item);
    }
    if (at)
        kf__commit(series->encoder->out, at);
}

/* The moves for structs inside these are made once, not once for each: they live here. */
static void write_items(struct encoder *e, const struct kf__struct *type, const void *items,
                        int32_t count)
{
    KF__UNINITIALIZED struct series inner;
    struct series *series = e->series;
    bool many = count >= MANY;
    inner.moves = NULL;
    series->encoder = e;
    if (!series->moves || series->moves->plan.type != type || series->moves->many != many)
        series->moves = kf__moves_of(type, e->version, e->flexible, many, &series->own);
    e->series = &inner;
    write_each(series, items, (size_t)count);
    e->series = series;
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
    KF__UNINITIALIZED struct series series;
    series.moves = NULL;
    bool tailed = schema->kind == KF__TAILED;
    struct encoder e = {
        .out = writer,
        .version = version,
        .flexible = kf_schema_is_flexible(schema, version),
        .tail = tailed ? kf__unknown_tags(type, message) : NULL,
        .series = &series,
    };
    write_one(&e, type, message);
    if (tailed && e.tail->count)
        write_tail(&e);
    return writer->err;
}
