/*
 * decode: bytes to a struct, by the message's rows. Bytes come from a peer
 * and are not trusted: everything is read through the cursor, and a count is
 * believed only as far as the bytes left could hold it. The depth of calls
 * is the schema's.
 */
#include "proto/cursor.h"
#include "proto/schema.h"

struct decoder {
    struct kf__cursor in;
    kf_arena *arena;
    int16_t version;
    bool flexible;
};

enum {
    LONGEST_STRING = 0x7FFF, /* bytes, compact ones too, as Kafka has it */
    NULL_LENGTH = -1,
    LEAST_TAG = 2, /* bytes: a tag and its size */
};

static void read_struct(struct decoder *d, const struct kf__plan *plan, void *message);
static void read_one(struct decoder *d, const struct kf__struct *type, void *message);

static void *allocate(struct decoder *d, size_t size)
{
    void *memory = kf_arena_alloc(d->arena, size);
    if (!memory) {
        const kf_arena *arena = d->arena;
        bool over = arena->limit && size > arena->limit - arena->held;
        kf__fail(&d->in, over ? KF_ERR_MESSAGE_TOO_COMPLEX : KF_ERR_NO_MEMORY);
    }
    return memory;
}

/* A length or count; NULL_LENGTH only where the row allows null at this version. */
static int64_t check_length(struct decoder *d, const struct kf__row *row, int64_t length)
{
    if (d->in.err)
        return 0;
    if (length >= 0)
        return length;
    if (length != NULL_LENGTH)
        kf__fail(&d->in, KF_ERR_BAD_COUNT);
    else if (!kf__nullable(row, d->version))
        kf__fail(&d->in, KF_ERR_NULL_FIELD);
    return d->in.err ? 0 : NULL_LENGTH;
}

static int64_t read_compact_length(struct decoder *d, const struct kf__row *row)
{
    return check_length(d, row, (int64_t)kf__take_varuint32(&d->in) - 1);
}

static kf_string read_string(struct decoder *d, const struct kf__row *row, bool nullable_row)
{
    int64_t length = d->flexible && !row->never_compact ? (int64_t)kf__take_varuint32(&d->in) - 1
                                                        : kf__take_i16(&d->in);
    if (nullable_row)
        length = check_length(d, row, length);
    else if (length < 0) /* an element of an array */
        kf__fail(&d->in, length == NULL_LENGTH ? KF_ERR_NULL_FIELD : KF_ERR_BAD_COUNT);
    if (length > LONGEST_STRING)
        kf__fail(&d->in, KF_ERR_BAD_COUNT);
    if (d->in.err || length < 0)
        return (kf_string){NULL, 0};
    const uint8_t *at = kf__take(&d->in, (size_t)length);
    return (kf_string){(const char *)at, at ? (size_t)length : 0};
}

static kf_bytes read_bytes(struct decoder *d, const struct kf__row *row)
{
    int64_t length = d->flexible && !row->never_compact
                         ? read_compact_length(d, row)
                         : check_length(d, row, kf__take_i32(&d->in));
    if (d->in.err || length < 0)
        return (kf_bytes){NULL, 0};
    const uint8_t *at = kf__take(&d->in, (size_t)length);
    return (kf_bytes){at, at ? (size_t)length : 0};
}

static void *read_pointer(struct decoder *d, const struct kf__row *row)
{
    /* Kafka marks null by -1 in a row of fields, but by 0 in a tagged field. */
    bool null = row->tag ? kf__take_varuint32(&d->in) == 0 : kf__take_i8(&d->in) < 0;
    if (null) {
        check_length(d, row, NULL_LENGTH);
        return NULL;
    }
    const struct kf__struct *type = kf__struct_at(row->of);
    void *message = d->in.err ? NULL : allocate(d, type->size);
    if (message)
        read_one(d, type, message);
    return message;
}

/* One value, an array's element or a field that is no array. */
static void read_value(struct decoder *d, const struct kf__row *row, void *value)
{
    switch (row->type) {
    case KF__boolean:
        *(bool *)value = kf__take_u8(&d->in) != 0;
        break;
    case KF__int8:
        *(int8_t *)value = kf__take_i8(&d->in);
        break;
    case KF__int16:
        *(int16_t *)value = kf__take_i16(&d->in);
        break;
    case KF__uint16:
        *(uint16_t *)value = kf__take_u16(&d->in);
        break;
    case KF__int32:
        *(int32_t *)value = kf__take_i32(&d->in);
        break;
    case KF__uint32:
        *(uint32_t *)value = kf__take_u32(&d->in);
        break;
    case KF__int64:
        *(int64_t *)value = kf__take_i64(&d->in);
        break;
    case KF__float64:
        *(double *)value = kf__take_f64(&d->in);
        break;
    case KF__uuid: {
        const uint8_t *at = kf__take(&d->in, sizeof(kf_uuid));
        if (at)
            memcpy(value, at, sizeof(kf_uuid));
        break;
    }
    case KF__str:
        *(kf_string *)value = read_string(d, row, !row->array);
        break;
    case KF__bytes:
    case KF__records:
        *(kf_bytes *)value = read_bytes(d, row);
        break;
    case KF__struct:
        read_one(d, kf__struct_at(row->of), value);
        break;
    case KF__struct_pointer: {
        void *message = read_pointer(d, row);
        memcpy(value, &message, sizeof message);
        break;
    }
    }
}

/* Least bytes that one element takes on the wire. */
static size_t least_element(const struct decoder *d, const struct kf__row *row)
{
    size_t least = kf__shapes[row->type].wire;
    if (row->type == KF__struct)
        least = kf__min_wire_size(kf__struct_at(row->of), d->version, d->flexible);
    else if (row->type == KF__str)
        least = d->flexible ? 1 : 2;
    return least ? least : 1;
}

/* Copies the first element, at its defaults, to all others, then reads each. */
static void read_structs(struct decoder *d, const struct kf__struct *type, char *items,
                         size_t count)
{
    struct kf__plan plan;
    kf__plan_make(&plan, type, d->version);
    if (plan.count > plan.values) {
        kf__reset_struct(type, items);
        for (size_t i = 1; i < count; i++)
            memcpy(items + i * type->size, items, type->size);
    }
    for (size_t i = 0; i < count && !d->in.err; i++)
        read_struct(d, &plan, items + i * type->size);
}

/* Returns what stands behind them. */
static const uint8_t *get_32s(const uint8_t *b, void *values, size_t count)
{
    for (char *value = values; count; count--, value += sizeof(uint32_t)) {
        uint32_t word = kf__be32(b);
        memcpy(value, &word, sizeof word);
        b += sizeof word;
    }
    return b;
}

static const uint8_t *get_64s(const uint8_t *b, void *values, size_t count)
{
    for (char *value = values; count; count--, value += sizeof(uint64_t)) {
        uint64_t wide = (uint64_t)kf__be32(b) << 32 | kf__be32(b + 4);
        memcpy(value, &wide, sizeof wide);
        b += sizeof wide;
    }
    return b;
}

static void read_int32s(struct decoder *d, void *items, size_t count)
{
    const uint8_t *b = kf__take(&d->in, count * sizeof(int32_t));
    if (b)
        get_32s(b, items, count);
}

static void read_items(struct decoder *d, const struct kf__row *row, char *items, size_t count)
{
    size_t step = kf__element_size(row);
    if (row->type == KF__struct)
        read_structs(d, kf__struct_at(row->of), items, count);
    else if (row->type == KF__int32)
        read_int32s(d, items, count);
    else
        for (size_t i = 0; i < count && !d->in.err; i++)
            read_value(d, row, items + i * step);
}

static void read_array(struct decoder *d, const struct kf__row *row, void *field)
{
    kf__array_set(field, NULL, 0);
    int64_t count =
        d->flexible ? read_compact_length(d, row) : check_length(d, row, kf__take_i32(&d->in));
    if (d->in.err)
        return;
    if (count <= 0) {
        kf__array_set(field, NULL, (int32_t)count);
        return;
    }
    if ((uint64_t)count > kf__left(&d->in) / least_element(d, row) || count > INT32_MAX) {
        kf__fail(&d->in, KF_ERR_BAD_COUNT);
        return;
    }

    size_t step = kf__element_size(row);
    if ((size_t)count > SIZE_MAX / step) {
        kf__fail(&d->in, KF_ERR_MESSAGE_TOO_COMPLEX);
        return;
    }
    char *items = allocate(d, (size_t)count * step);
    if (!items)
        return;
    read_items(d, row, items, (size_t)count);
    kf__array_set(field, items, (int32_t)count);
}

static void read_field(struct decoder *d, const struct kf__row *row, void *field)
{
    if (row->array)
        read_array(d, row, field);
    else
        read_value(d, row, field);
}

/* The row that has this tag, and where its field lies. */
static const struct kf__row *find_tagged(const struct kf__struct *type, uint32_t tag, size_t *place)
{
    const struct kf__row *row = kf__rows_of(type);
    size_t at = 0;
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        *place = kf__place(row, &at);
        if (row->tag == tag + 1)
            return row;
    }
    return NULL;
}

/* A known tag must fill its announced size exactly. */
static void read_tagged(struct decoder *d, const struct kf__row *row, void *field, size_t size)
{
    const uint8_t *content = kf__take(&d->in, size);
    if (!content)
        return;
    struct kf__cursor outer = d->in;
    d->in = kf__cursor_over(content, size);
    read_field(d, row, field);
    kf_err err = d->in.err;
    if (err == KF_ERR_TRUNCATED || (!err && kf__left(&d->in)))
        err = KF_ERR_BAD_TAG;
    d->in = outer;
    if (err)
        kf__fail(&d->in, err);
}

static void keep_unknown(struct decoder *d, struct kf_tags *tags, uint32_t most, uint32_t tag,
                         size_t size)
{
    const uint8_t *content = kf__take(&d->in, size);
    if (content && !tags->items)
        tags->items = allocate(d, most * sizeof *tags->items);
    if (content && tags->items)
        tags->items[tags->count++] = (struct kf_tag){tag, {content, size}};
}

static void read_tags(struct decoder *d, const struct kf__struct *type, void *message)
{
    uint32_t count = kf__take_varuint32(&d->in);
    if (count == 0)
        return;
    if (count > kf__left(&d->in) / LEAST_TAG || count > INT32_MAX) {
        kf__fail(&d->in, KF_ERR_BAD_COUNT);
        return;
    }
    int64_t last = -1;
    for (uint32_t i = 0; i < count && !d->in.err; i++) {
        uint32_t tag = kf__take_varuint32(&d->in);
        uint32_t size = kf__take_varuint32(&d->in);
        if (!d->in.err && (int64_t)tag <= last)
            kf__fail(&d->in, KF_ERR_BAD_TAG);
        last = tag;
        size_t place;
        const struct kf__row *row = find_tagged(type, tag, &place);
        if (row && !kf__in_version(row, d->version))
            kf__fail(&d->in, KF_ERR_BAD_TAG); /* known, but not to this version: Kafka refuses */
        if (d->in.err)
            return;
        if (row)
            read_tagged(d, row, (char *)message + place, size);
        else
            keep_unknown(d, kf__unknown_tags(type, message), count - i, tag, size);
    }
}

/* A value of fixed size; returns what stands behind it. */
static const uint8_t *get_fixed(const uint8_t *b, const struct kf__step *step, void *field)
{
    uint16_t half;
    bool truth;
    switch ((enum kf__step_kind)step->kind) {
    case KF__STEP_BOOLEAN:
        truth = b[0] != 0;
        memcpy(field, &truth, sizeof truth);
        return b + 1;
    case KF__STEP_16:
        half = (uint16_t)((unsigned)b[0] << 8 | b[1]);
        memcpy(field, &half, sizeof half);
        return b + sizeof half;
    case KF__STEP_32:
        return get_32s(b, field, step->times);
    case KF__STEP_64:
        return get_64s(b, field, step->times);
    case KF__STEP_UUID:
        memcpy(field, b, sizeof(kf_uuid));
        return b + sizeof(kf_uuid);
    default:
        memcpy(field, b, 1);
        return b + 1;
    }
}

/* ---- the short way: a value whose length is one byte, and is all there ---- */

static bool get_short(struct decoder *d, const struct kf__step *step, void *field)
{
    bool ints = step->kind == KF__STEP_INT32S;
    const uint8_t *at = d->in.at;
    if (!d->flexible || at == d->in.end || *at == 0 || *at >= 0x80)
        return false;
    size_t count = *at - 1u;
    size_t size = ints ? count * sizeof(int32_t) : count;
    if ((size_t)(d->in.end - at) <= size)
        return false;
    if (ints) {
        void *items = count ? kf_arena_alloc(d->arena, size) : NULL;
        if (count && !items)
            return false; /* the long way says why */
        kf__array_set(field, items, (int32_t)count);
        get_32s(at + 1, items, count);
    } else {
        kf_bytes bytes = {at + 1, count};
        memcpy(field, &bytes, sizeof bytes);
    }
    d->in.at = at + 1 + size;
    return true;
}

/* Fields that the bytes don't give are at their defaults already. */
static void read_struct(struct decoder *d, const struct kf__plan *plan, void *message)
{
    const uint8_t *run = NULL;
    const struct kf__step *step = plan->steps;
    for (const struct kf__step *end = step + plan->values; step < end; step++) {
        void *field = (char *)message + step->place;
        if (step->kind <= KF__STEP_UUID) {
            if (step->run)
                run = kf__take(&d->in, step->run);
            if (!run)
                return;
            run = get_fixed(run, step, field);
        } else if (step->kind == KF__STEP_VALUE || !get_short(d, step, field)) {
            read_field(d, step->row, field);
        }
    }
    if (d->flexible && d->in.at < d->in.end && *d->in.at == 0)
        d->in.at++; /* no tags: nearly always */
    else if (d->flexible)
        read_tags(d, plan->type, message);
}

static void read_one(struct decoder *d, const struct kf__struct *type, void *message)
{
    struct kf__plan plan;
    kf__plan_make(&plan, type, d->version);
    const struct kf__step *step = plan.steps + plan.values;
    for (const struct kf__step *end = plan.steps + plan.count; step < end; step++)
        kf__reset_field(step->row, (char *)message + step->place);
    *kf__unknown_tags(type, message) = (struct kf_tags){NULL, 0};
    read_struct(d, &plan, message);
}

kf_err kf_decode_prefix(const kf_schema *schema, int16_t version, const void *bytes, size_t size,
                        kf_arena *arena, void *message, size_t *used)
{
    if (!kf__has_version(schema, version))
        return KF_ERR_BAD_VERSION;
    struct decoder d = {
        .in = kf__cursor_over(bytes, size),
        .arena = arena,
        .version = version,
        .flexible = kf_schema_is_flexible(schema, version),
    };
    read_one(&d, kf__struct_at(schema->root), message);
    if (d.in.err) {
        /* What was read so far may be half a message: nobody shall find it. */
        kf_reset(schema, message);
        return d.in.err;
    }
    *used = size - kf__left(&d.in);
    return KF_OK;
}

kf_err kf_decode(const kf_schema *schema, int16_t version, const void *bytes, size_t size,
                 kf_arena *arena, void *message)
{
    size_t used = 0;
    kf_err err = kf_decode_prefix(schema, version, bytes, size, arena, message, &used);
    if (!err && used < size)
        return KF_ERR_TRAILING_BYTES;
    return err;
}
