/*
 * schema: what the preprocessor makes of the rows, as the engine sees it.
 *
 *   kf_schema ──root──▶ struct kf__struct ──rows──▶ struct kf__row …
 *                                                      │ of
 *                                    struct kf__struct ◀┘
 *
 * Tables hold indices, not pointers: they need no relocation and stay small.
 * A row doesn't say where its field lies: the engine walks a struct's rows in
 * order and places each field as a C compiler does (kf__place).
 */
#ifndef KF_PROTO_SCHEMA_H
#define KF_PROTO_SCHEMA_H

#include <kafiber/codec.h>
#include <kafiber/messages.h>
#include <stdbool.h>
#include <string.h>

enum kf__type {
    KF__boolean,
    KF__int8,
    KF__int16,
    KF__uint16,
    KF__int32,
    KF__uint32,
    KF__int64,
    KF__float64,
    KF__uuid,
    KF__str,
    KF__bytes,
    KF__records,
    KF__struct,         /* inline */
    KF__struct_pointer, /* on the wire one byte more: -1 is null */
    KF__none,           /* the row of a struct without fields: in no version */
    KF__TYPES,
};

/* A member that a row doesn't give is 0; so what may be 0 itself is stored plus one. */
struct kf__row {
    uint8_t type;
    bool array : 1;
    bool ignorable : 1;
    bool never_compact : 1;
    bool null : 1;    /* by default */
    bool empty : 1;   /* by default: not null, for a struct pointer */
    bool largest : 1; /* by default: the largest number of the type */
    uint16_t of;      /* the struct's index, for the struct types */
    int8_t since;
    int8_t ends;          /* first version without it; 0: never */
    int8_t nullable;      /* first version that allows null, plus one; 0: none does */
    int8_t nullable_ends; /* first version that doesn't again; 0: never */
    uint8_t tag;          /* plus one; 0: not tagged */
    int32_t fallback;     /* the default of numbers otherwise */
};

struct kf__struct {
    uint32_t names; /* where its fields' names begin */
    uint16_t first; /* row */
    uint16_t count; /* of rows */
    uint16_t size;  /* of the C struct, in bytes */
    uint8_t align;
};

enum kf__kind {
    KF__REQUEST,
    KF__RESPONSE,
    KF__RECORD,
    KF__HEADER,
    KF__DATA,
    KF__TAILED, /* data whose newer versions are read as the newest known, with a tail */
};

struct kf_schema {
    const char *name;
    int16_t api_key; /* of a record its type; -1: none */
    int8_t min_version;
    int8_t max_version;
    int8_t flexible; /* first flexible version; 127: none */
    uint8_t kind;
    uint16_t root; /* struct */
};

const struct kf__struct *kf__struct_at(uint16_t index);
const struct kf__row *kf__rows_of(const struct kf__struct *type);
/* The fields' names one after the other, each NUL-terminated, in the order of the rows;
 * NULL in a build without names. */
const char *kf__names_of(const struct kf__struct *type);

/* Every array field of a message has this shape; its items are of another type. */
struct kf__array {
    void *items;
    int32_t count;
};

static inline struct kf__array kf__array_get(const void *field)
{
    struct kf__array array;
    memcpy(&array, field, sizeof array);
    return array;
}

static inline void kf__array_set(void *field, void *items, int32_t count)
{
    struct kf__array array = {items, count};
    memcpy(field, &array, sizeof array);
}

static inline void *kf__pointer_get(const void *field)
{
    void *pointer;
    memcpy(&pointer, field, sizeof pointer);
    return pointer;
}

struct kf__shape {
    uint8_t size;
    uint8_t align;
    uint8_t wire; /* least bytes on the wire, where that doesn't depend on the version */
};

extern const struct kf__shape kf__shapes[KF__TYPES];

/* Bytes of one element of the row's type, as it lies in a C struct. */
static inline size_t kf__element_size(const struct kf__row *row)
{
    return row->type == KF__struct ? kf__struct_at(row->of)->size : kf__shapes[row->type].size;
}

/* Where the row's field lies; *at moves behind it. Start with 0. */
static inline size_t kf__place(const struct kf__row *row, size_t *at)
{
    size_t size, align;
    if (row->array) {
        size = sizeof(struct kf__array);
        align = _Alignof(struct kf__array);
    } else if (row->type == KF__struct) {
        size = kf__struct_at(row->of)->size;
        align = kf__struct_at(row->of)->align;
    } else {
        size = kf__shapes[row->type].size;
        align = kf__shapes[row->type].align;
    }
    size_t place = (*at + align - 1) & ~(align - 1);
    *at = place + size;
    return place;
}

/* Unknown tags are each struct's last member. */
static inline struct kf_tags *kf__unknown_tags(const struct kf__struct *type, const void *message)
{
    return (struct kf_tags *)((uintptr_t)message + type->size - sizeof(struct kf_tags));
}

static inline bool kf__in_version(const struct kf__row *row, int16_t version)
{
    return version >= row->since && (!row->ends || version < row->ends);
}

static inline bool kf__nullable(const struct kf__row *row, int16_t version)
{
    return row->nullable && version >= row->nullable - 1 &&
           (!row->nullable_ends || version < row->nullable_ends);
}

/*
 * What a struct pointer that is by default not null points to: zero bytes,
 * shared and read-only. Only for structs whose defaults are all zero.
 */
extern const max_align_t kf__empty_struct[];

enum {
    KF__MOST_ROWS = 20,     /* of one struct; the longest has 17 */
    KF__SHORT_LENGTH = 126, /* bytes of a value whose compact length is one byte, at most */
};

/* Of a variable that is set before it's read, where zeroing it first would cost more than its use.
 */
#if defined(__has_attribute)
#if __has_attribute(uninitialized)
#define KF__UNINITIALIZED __attribute__((uninitialized))
#endif
#endif
#ifndef KF__UNINITIALIZED
#define KF__UNINITIALIZED
#endif

/* What is rarely called, so that its callers' registers are not spent on it. */
#if defined(__GNUC__)
#define KF__NOINLINE __attribute__((noinline))
#else
#define KF__NOINLINE
#endif

/* One field to its row's default. */
void kf__reset_field(const struct kf__row *row, void *field);
void kf__reset_struct(const struct kf__struct *type, void *message);
/* Whether it is at its row's default; a struct, at all of its rows' defaults. */
bool kf__is_default(const struct kf__row *row, const void *field);
bool kf__struct_is_default(const struct kf__struct *type, const void *message);

/* Least bytes of the struct on the wire at this version. */
size_t kf__min_wire_size(const struct kf__struct *type, int16_t version, bool flexible);

/* Whether it can be read and written. A newer version of tailed data becomes its newest known. */
static inline bool kf__has_version(const kf_schema *schema, int16_t *version)
{
    if (schema->kind == KF__TAILED && *version > schema->max_version)
        *version = schema->max_version;
    return *version >= schema->min_version && *version <= schema->max_version;
}

#endif
