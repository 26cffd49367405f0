/*
 * schema: the tables made from the rows, and the registry of messages.
 *
 * One pass over the rows per table. Rows and names lie struct after struct in
 * one object each, so that a struct's share begins at offsetof and nothing
 * needs an address. Small builds leave groups of messages out (all.def) by
 * KF__WITHOUT_ADMIN and so on, and the fields' names by KF__WITHOUT_NAMES.
 */
#include "proto/codec/schema.h"

/* Sizes: what a field needs in C and, at least, on the wire. */
#define SHAPE(type, wire) [KF__##type] = {sizeof(KF__C_##type), _Alignof(KF__C_##type), wire}
const struct kf__shape kf__shapes[KF__TYPES] = {
    SHAPE(boolean, 1),
    SHAPE(int8, 1),
    SHAPE(int16, 2),
    SHAPE(uint16, 2),
    SHAPE(int32, 4),
    SHAPE(uint32, 4),
    SHAPE(int64, 8),
    SHAPE(float64, 8),
    SHAPE(uuid, 16),
    SHAPE(str, 0),
    SHAPE(bytes, 0),
    SHAPE(records, 0),
    [KF__struct_pointer] = {sizeof(void *), _Alignof(void *), 1},
    [KF__none] = {0, 1, 0},
};
#undef SHAPE

/* clang-format off */

/* Each struct's number. */
enum {
#define STRUCT(name) STRUCT_##name,
#include <kafiber/schema/all.def>
    STRUCT_COUNT
};

/* The rows. */
struct row_pool {
#define ROW(type, name, ...) struct kf__row name;
#define STRUCT(name) struct {
#define FIELD(...) ROW(__VA_ARGS__, ~)
#define ARRAY(...) ROW(__VA_ARGS__, ~)
#define STRUCT_FIELD(...) ROW(__VA_ARGS__, ~)
#define STRUCT_POINTER(...) ROW(__VA_ARGS__, ~)
#define STRUCT_ARRAY(...) ROW(__VA_ARGS__, ~)
#define NO_FIELDS struct kf__row none;
#define END(name) } name;
#include <kafiber/schema/all.def>
#undef ROW
};

#define SINCE(version) .since = (version)
#define UNTIL(version) .ends = (version) + 1
#define NULLABLE(version) .nullable = (version) + 1
#define NULLABLE_UNTIL(version) .nullable_ends = (version) + 1
#define TAGGED(number) .tag = (number) + 1
#define DEFAULT(number) .fallback = (number)
#define DEFAULT_NULL .null = true
#define DEFAULT_EMPTY .empty = true
#define DEFAULT_LARGEST .largest = true
#define IGNORABLE .ignorable = true
#define NEVER_COMPACT .never_compact = true

static const struct row_pool row_pool = {
#define VALUE(kind, name, ...) {.type = KF__##kind, __VA_ARGS__},
#define NESTED(struct_name, name, ...) {.of = STRUCT_##struct_name, __VA_ARGS__},
#define STRUCT(name) {
#define FIELD(...) VALUE(__VA_ARGS__, .array = false)
#define ARRAY(...) VALUE(__VA_ARGS__, .array = true)
#define STRUCT_FIELD(...) NESTED(__VA_ARGS__, .type = KF__struct, .array = false)
#define STRUCT_POINTER(...) NESTED(__VA_ARGS__, .type = KF__struct_pointer, .array = false)
#define STRUCT_ARRAY(...) NESTED(__VA_ARGS__, .type = KF__struct, .array = true)
#define NO_FIELDS {.type = KF__none, .since = INT8_MAX},
#define END(name) },
#include <kafiber/schema/all.def>
#undef VALUE
#undef NESTED
};

#undef SINCE
#undef UNTIL
#undef NULLABLE
#undef NULLABLE_UNTIL
#undef TAGGED
#undef DEFAULT
#undef DEFAULT_NULL
#undef DEFAULT_EMPTY
#undef DEFAULT_LARGEST
#undef IGNORABLE
#undef NEVER_COMPACT

/* Their names. */
#ifndef KF__WITHOUT_NAMES
#define NAMES_OF(name) offsetof(struct name_pool, name)
struct name_pool {
#define SIZED(type, name, ...) char name[sizeof #name];
#define STRUCT(name) struct {
#define FIELD(...) SIZED(__VA_ARGS__, ~)
#define ARRAY(...) SIZED(__VA_ARGS__, ~)
#define STRUCT_FIELD(...) SIZED(__VA_ARGS__, ~)
#define STRUCT_POINTER(...) SIZED(__VA_ARGS__, ~)
#define STRUCT_ARRAY(...) SIZED(__VA_ARGS__, ~)
#define NO_FIELDS char none[1];
#define END(name) } name;
#include <kafiber/schema/all.def>
#undef SIZED
};

static const struct name_pool name_pool = {
#define QUOTED(type, name, ...) #name,
#define STRUCT(name) {
#define FIELD(...) QUOTED(__VA_ARGS__, ~)
#define ARRAY(...) QUOTED(__VA_ARGS__, ~)
#define STRUCT_FIELD(...) QUOTED(__VA_ARGS__, ~)
#define STRUCT_POINTER(...) QUOTED(__VA_ARGS__, ~)
#define STRUCT_ARRAY(...) QUOTED(__VA_ARGS__, ~)
#define NO_FIELDS "",
#define END(name) },
#include <kafiber/schema/all.def>
#undef QUOTED
};
#else
#define NAMES_OF(name) 0
#endif

/* The structs. */
static const struct kf__struct structs[STRUCT_COUNT] = {
#define STRUCT(name) {                                                                             \
        .names = NAMES_OF(name),                                                 \
        .first = offsetof(struct row_pool, name) / sizeof(struct kf__row),                         \
        .count = sizeof row_pool.name / sizeof(struct kf__row),                                    \
        .size = sizeof(struct kf_##name),                                                          \
        .align = _Alignof(struct kf_##name),                                                       \
    },
#include <kafiber/schema/all.def>
};

/* The messages. */
#define REQUEST(key) .kind = KF__REQUEST, .api_key = (key)
#define RESPONSE(key) .kind = KF__RESPONSE, .api_key = (key)
#define RECORD(type_number) .kind = KF__RECORD, .api_key = (type_number)
#define HEADER .kind = KF__HEADER, .api_key = -1
#define DATA .kind = KF__DATA, .api_key = -1
#define TAILED_DATA .kind = KF__TAILED, .api_key = -1
#define VERSIONS(first, last) .min_version = (first), .max_version = (last)
#define FLEXIBLE(first) .flexible = (first)
#define NEVER_FLEXIBLE .flexible = INT8_MAX
#define MESSAGE(snake, Name, message_kind, versions, flexible_from)                                \
    const kf_schema kf_schema_of_##snake = {                                                       \
        .name = #Name, .root = STRUCT_##snake, message_kind, versions, flexible_from};
#include <kafiber/schema/all.def>

#define STRUCT(name)                                                                               \
    _Static_assert(sizeof row_pool.name / sizeof(struct kf__row) <= KF__MOST_ROWS, #name);
#include <kafiber/schema/all.def>

static const kf_schema *const registry[] = {
#define MESSAGE(snake, Name, message_kind, versions, flexible_from) &kf_schema_of_##snake,
#include <kafiber/schema/all.def>
};
/* clang-format on */

enum {
    REGISTRY_COUNT = sizeof registry / sizeof *registry
};

const struct kf__struct *kf__struct_at(uint16_t index) { return &structs[index]; }

const struct kf__row *kf__rows_of(const struct kf__struct *type)
{
    return (const struct kf__row *)(const void *)&row_pool + type->first;
}

const char *kf__names_of(const struct kf__struct *type)
{
#ifndef KF__WITHOUT_NAMES
    return (const char *)&name_pool + type->names;
#else
    (void)type;
    return NULL;
#endif
}

const kf_schema *kf_schema_find(const char *name)
{
    for (size_t i = 0; i < REGISTRY_COUNT; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

static const kf_schema *find(enum kf__kind kind, int16_t api_key)
{
    for (size_t i = 0; i < REGISTRY_COUNT; i++)
        if (registry[i]->kind == kind && registry[i]->api_key == api_key)
            return registry[i];
    return NULL;
}

const kf_schema *kf_schema_request(int16_t api_key) { return find(KF__REQUEST, api_key); }
const kf_schema *kf_schema_response(int16_t api_key) { return find(KF__RESPONSE, api_key); }

const kf_schema *kf_schema_at(size_t index)
{
    return index < REGISTRY_COUNT ? registry[index] : NULL;
}

const char *kf_schema_name(const kf_schema *schema) { return schema->name; }

int16_t kf_schema_api_key(const kf_schema *schema)
{
    return schema->kind == KF__REQUEST || schema->kind == KF__RESPONSE ? schema->api_key : -1;
}

int16_t kf_schema_record_type(const kf_schema *schema)
{
    return schema->kind == KF__RECORD ? schema->api_key : -1;
}

int16_t kf_schema_min_version(const kf_schema *schema) { return schema->min_version; }
int16_t kf_schema_max_version(const kf_schema *schema) { return schema->max_version; }

bool kf_schema_is_flexible(const kf_schema *schema, int16_t version)
{
    return version >= schema->flexible;
}

size_t kf_schema_struct_size(const kf_schema *schema) { return structs[schema->root].size; }

size_t kf__min_wire_size(const struct kf__struct *type, int16_t version, bool flexible)
{
    size_t least = flexible ? 1 : 0;
    const struct kf__row *row = kf__rows_of(type);
    for (const struct kf__row *end = row + type->count; row < end; row++) {
        if (row->tag || !kf__in_version(row, version))
            continue;
        if (row->array || row->type == KF__bytes || row->type == KF__records)
            least += flexible ? 1 : 4;
        else if (row->type == KF__str)
            least += flexible && !row->never_compact ? 1 : 2;
        else if (row->type == KF__struct)
            least += kf__min_wire_size(kf__struct_at(row->of), version, flexible);
        else
            least += kf__shapes[row->type].wire;
    }
    return least;
}
