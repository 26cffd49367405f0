/*
 * decode: bytes to a struct, by the message's rows. Bytes come from a peer
 * and are not trusted: everything is read through the cursor, and a count is
 * believed only as far as the bytes left could hold it. The depth of calls
 * is the schema's.
 */
#include "proto/bytes/arena.h"
#include "proto/bytes/cursor.h"
#include "proto/bytes/varint.h"
#include "proto/codec/plan.h"

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

static void read_struct(struct decoder *d, const struct kf__plan *plan, char *message);
static void read_one(struct decoder *d, const struct kf__struct *type, void *message);

/* Why an arena had no room for `size` bytes. */
static kf_err no_room(const kf_arena *arena, size_t size)
{
    bool over = arena->limit && size > arena->limit - arena->held;
    return over ? KF_ERR_MESSAGE_TOO_COMPLEX : KF_ERR_NO_MEMORY;
}

static void *allocate(struct decoder *d, size_t size)
{
    void *memory = kf__arena_take(d->arena, size);
    if (!memory)
        kf__fail(&d->in, no_room(d->arena, size));
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

static void reset_others(const struct kf__plan *plan, char *message)
{
    const struct kf__step *end = kf__others_end(plan);
    for (const struct kf__step *step = plan->others; step < end; step++)
        kf__reset_field(step->row, message + step->place);
}

/* These return what stands behind them. */
static const uint8_t *get_32s(const uint8_t *at, char *values, size_t count)
{
    for (; count; count--, values += sizeof(uint32_t), at += sizeof(uint32_t)) {
        uint32_t word = kf__get_u32(at);
        memcpy(values, &word, sizeof word);
    }
    return at;
}

static const uint8_t *get_64s(const uint8_t *at, char *values, size_t count)
{
    for (; count; count--, values += sizeof(uint64_t), at += sizeof(uint64_t)) {
        uint64_t wide = kf__get_u64(at);
        memcpy(values, &wide, sizeof wide);
    }
    return at;
}

static void read_int32s(struct decoder *d, void *items, size_t count)
{
    const uint8_t *b = kf__take(&d->in, count * sizeof(int32_t));
    if (b)
        get_32s(b, items, count);
}

/* For as many as are announced, if the bytes left could hold them; NULL: they are refused. */
static char *room_for(struct decoder *d, size_t count, size_t size, size_t least_on_wire)
{
    if (count > kf__left(&d->in) / least_on_wire || count > INT32_MAX)
        kf__fail(&d->in, KF_ERR_BAD_COUNT);
    else if (count > SIZE_MAX / size)
        kf__fail(&d->in, KF_ERR_MESSAGE_TOO_COMPLEX);
    return d->in.err ? NULL : allocate(d, count * size);
}

/* What the bytes don't give is set once, and goes from each element to the next before it's read.
 */
static char *read_structs(struct decoder *d, const struct kf__struct *type, size_t count)
{
    KF__UNINITIALIZED struct kf__plan own;
    const struct kf__plan *plan = kf__plan_of(type, d->version, d->flexible, &own);
    char *items = room_for(d, count, type->size, plan->least ? plan->least : 1);
    if (!items)
        return NULL;
    reset_others(plan, items);
    for (char *item = items; count && !d->in.err; count--, item += type->size) {
        char *others = item + plan->others_place;
        if (plan->others_size && count > 1)
            memcpy(others + type->size, others, plan->others_size);
        read_struct(d, plan, item);
    }
    return items;
}

static char *read_values(struct decoder *d, const struct kf__row *row, size_t count)
{
    size_t size = kf__element_size(row), least = kf__shapes[row->type].wire;
    if (row->type == KF__str)
        least = d->flexible ? 1 : 2;
    char *items = room_for(d, count, size, least ? least : 1);
    if (items && row->type == KF__int32)
        read_int32s(d, items, count);
    else
        for (size_t i = 0; items && i < count && !d->in.err; i++)
            read_value(d, row, items + i * size);
    return items;
}

static void read_array(struct decoder *d, const struct kf__row *row, void *field)
{
    kf__array_set(field, NULL, 0);
    int64_t count =
        d->flexible ? read_compact_length(d, row) : check_length(d, row, kf__take_i32(&d->in));
    if (d->in.err)
        return;
    char *items = NULL;
    if (count > 0 && row->type == KF__struct)
        items = read_structs(d, kf__struct_at(row->of), (size_t)count);
    else if (count > 0)
        items = read_values(d, row, (size_t)count);
    if (!d->in.err)
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

/* ---- a struct by its plan ---- */

/* A compact length plus one, of up to three bytes; 0: null, or take the long way. */
static inline size_t get_length(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *b = *at;
    size_t length = b[0];
    if (length < 0x80) {
        *at = b + 1;
        return length;
    }
    if (end - b < 3 || (b[1] & b[2]) >= 0x80)
        return 0;
    bool two = b[1] < 0x80;
    *at = b + (two ? 2 : 3);
    return (length & 0x7F) | (b[1] & (size_t)0x7F) << 7 | (two ? 0 : (size_t)b[2] << 14);
}

/* These return NULL where the long way must be taken. */
static inline const uint8_t *get_bytes(const struct decoder *d, const uint8_t *at,
                                       const struct kf__step *step, char *field)
{
    const uint8_t *end = d->in.end;
    bool null = *at == 0;
    size_t size = get_length(&at, end) - 1;
    kf_bytes bytes = {at, size};
    if (null && step->nullable)
        bytes = (kf_bytes){NULL, size = 0};
    else if (size > (size_t)(end - at) || (size > LONGEST_STRING && step->row->type == KF__str))
        return NULL;
    memcpy(field, &bytes, sizeof bytes);
    return at + size;
}

static inline const uint8_t *get_int32s(struct decoder *d, const uint8_t *at, char *field)
{
    size_t count = *at++ - (size_t)1;
    if (count > KF__SHORT_LENGTH || count * sizeof(int32_t) > (size_t)(d->in.end - at))
        return NULL;
    void *items = NULL;
    if (count && !(items = kf__arena_take(d->arena, count * sizeof(int32_t))))
        return NULL;
    kf__array_set(field, items, (int32_t)count);
    return get_32s(at, items, count);
}

/* No items, or null. */
static inline const uint8_t *get_array(const uint8_t *at, const struct kf__step *step, char *field)
{
    if (*at > 1 || (*at == 0 && !step->nullable))
        return NULL;
    kf__array_set(field, NULL, *at - 1);
    return at + 1;
}

static const uint8_t *get_long(struct decoder *d, const uint8_t *at, const struct kf__step *step,
                               char *field)
{
    d->in.at = at;
    read_field(d, step->row, field);
    return d->in.at;
}

static void read_end(struct decoder *d, const uint8_t *at, const struct kf__plan *plan,
                     char *message)
{
    *kf__unknown_tags(plan->type, message) = (struct kf_tags){NULL, 0};
    d->in.at = at;
    if (!d->flexible)
        return;
    if (*at == 0)
        d->in.at++; /* no tags: nearly always */
    else
        read_tags(d, plan->type, message);
}

/* What the bytes don't give is at its defaults already. */
static void read_struct(struct decoder *d, const struct kf__plan *plan, char *message)
{
    const uint8_t *at = d->in.at;
    for (const struct kf__step *step = plan->steps; step->least <= d->in.end - at; step++) {
        char *field = message + step->place;
        const uint8_t *next = NULL;
        uint16_t half;
        bool truth;
        switch ((enum kf__step_kind)step->kind) {
        case KF__STEP_BOOLEAN:
            truth = *at++ != 0;
            memcpy(field, &truth, sizeof truth);
            continue;
        case KF__STEP_8:
            memcpy(field, at++, 1);
            continue;
        case KF__STEP_16:
            half = kf__get_u16(at);
            memcpy(field, &half, sizeof half);
            at += sizeof half;
            continue;
        case KF__STEP_32:
            at = get_32s(at, field, step->times);
            continue;
        case KF__STEP_64:
            at = get_64s(at, field, step->times);
            continue;
        case KF__STEP_UUID:
            memcpy(field, at, sizeof(kf_uuid));
            at += sizeof(kf_uuid);
            continue;
        case KF__STEP_INT32S:
            next = get_int32s(d, at, field);
            break;
        case KF__STEP_BYTES:
            next = get_bytes(d, at, step, field);
            break;
        case KF__STEP_ARRAY:
            next = get_array(at, step, field);
            break;
        case KF__STEP_VALUE:
            break;
        default:
            read_end(d, at, plan, message);
            return;
        }
        at = next ? next : get_long(d, at, step, field);
    }
    kf__fail(&d->in, KF_ERR_TRUNCATED);
}

static void read_one(struct decoder *d, const struct kf__struct *type, void *message)
{
    KF__UNINITIALIZED struct kf__plan own;
    const struct kf__plan *plan = kf__plan_of(type, d->version, d->flexible, &own);
    reset_others(plan, message);
    read_struct(d, plan, message);
}

kf_err kf_decode_prefix(const kf_schema *schema, int16_t version, const void *bytes, size_t size,
                        kf_arena *arena, void *message, size_t *used)
{
    if (!kf__has_version(schema, &version))
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

static kf_err keep_tail(const kf_schema *schema, kf_bytes tail, kf_arena *arena, void *message)
{
    struct kf_tag *item = kf_arena_alloc(arena, sizeof *item);
    if (!item) {
        kf_reset(schema, message);
        return no_room(arena, sizeof *item);
    }
    *item = (struct kf_tag){KF_TAIL, tail};
    *kf__unknown_tags(kf__struct_at(schema->root), message) = (struct kf_tags){item, 1};
    return KF_OK;
}

kf_err kf_decode(const kf_schema *schema, int16_t version, const void *bytes, size_t size,
                 kf_arena *arena, void *message)
{
    size_t used = 0;
    kf_err err = kf_decode_prefix(schema, version, bytes, size, arena, message, &used);
    if (err || used == size)
        return err;
    if (schema->kind != KF__TAILED)
        return KF_ERR_TRAILING_BYTES;
    kf_bytes tail = {(const uint8_t *)bytes + used, size - used};
    return keep_tail(schema, tail, arena, message);
}
