/*
 * messages: the C structs of every Kafka message, made from the rows in
 * schema/.
 *
 * `MetadataRequest` is struct kf_metadata_request, described by
 * kf_schema_of_metadata_request; its API key is KF_API_METADATA. Fields have
 * the specification's names in snake case. One struct serves all versions:
 * it holds every field that any version has.
 *
 *   arrays               {items, count}; null is count -1 with items NULL
 *   strings, bytes       null is data NULL; empty has data and size 0
 *   struct pointers      NULL is null
 *   unknown_tags         tagged fields that the rows don't know, kept as they came
 *
 * A message begins its life with kf_reset or kf_decode: all zero bytes are
 * not its defaults.
 */
#ifndef KAFIBER_MESSAGES_H
#define KAFIBER_MESSAGES_H

#include <kafiber/codec.h>
#include <kafiber/types.h>

/* The rows' macros have short names: what the includer means by them comes back below. */
#pragma push_macro("API")
#undef API
#pragma push_macro("MESSAGE")
#undef MESSAGE
#pragma push_macro("STRUCT")
#undef STRUCT
#pragma push_macro("END")
#undef END
#pragma push_macro("FIELD")
#undef FIELD
#pragma push_macro("ARRAY")
#undef ARRAY
#pragma push_macro("STRUCT_FIELD")
#undef STRUCT_FIELD
#pragma push_macro("STRUCT_POINTER")
#undef STRUCT_POINTER
#pragma push_macro("STRUCT_ARRAY")
#undef STRUCT_ARRAY
#pragma push_macro("NO_FIELDS")
#undef NO_FIELDS

KF_BEGIN_DECLS

/* API keys: KF_API_PRODUCE = 0, KF_API_FETCH = 1, … */
enum kf_api {
#define API(NAME, key) KF_API_##NAME = (key),
#include <kafiber/schema/all.def>
};

/* extern KF_API const kf_schema kf_schema_of_produce_request; … */
#define MESSAGE(name, Name, kind, versions, flexible)                                              \
    extern KF_API const kf_schema kf_schema_of_##name;
#include <kafiber/schema/all.def>

/* What a row's type is in C. */
#define KF__C_boolean bool
#define KF__C_int8    int8_t
#define KF__C_int16   int16_t
#define KF__C_uint16  uint16_t
#define KF__C_int32   int32_t
#define KF__C_uint32  uint32_t
#define KF__C_int64   int64_t
#define KF__C_float64 double
#define KF__C_uuid    kf_uuid
#define KF__C_str     kf_string
#define KF__C_bytes   kf_bytes
#define KF__C_records kf_bytes

/* Rows have one to many arguments; what follows the name doesn't matter here. */
#define KF__C_FIELD(type, name, ...) KF__C_##type name;
#define KF__C_ARRAY(type, name, ...)                                                               \
    struct {                                                                                       \
        KF__C_##type *items;                                                                       \
        int32_t count;                                                                             \
    } name;
#define KF__C_STRUCT_FIELD(type, name, ...)   struct kf_##type name;
#define KF__C_STRUCT_POINTER(type, name, ...) struct kf_##type *name;
#define KF__C_STRUCT_ARRAY(type, name, ...)                                                        \
    struct {                                                                                       \
        struct kf_##type *items;                                                                   \
        int32_t count;                                                                             \
    } name;

#define STRUCT(name)        struct kf_##name {
#define FIELD(...)          KF__C_FIELD(__VA_ARGS__, ~)
#define ARRAY(...)          KF__C_ARRAY(__VA_ARGS__, ~)
#define STRUCT_FIELD(...)   KF__C_STRUCT_FIELD(__VA_ARGS__, ~)
#define STRUCT_POINTER(...) KF__C_STRUCT_POINTER(__VA_ARGS__, ~)
#define STRUCT_ARRAY(...)   KF__C_STRUCT_ARRAY(__VA_ARGS__, ~)
/* clang-format off */
#define END(name) struct kf_tags unknown_tags; };
/* clang-format on */
#include <kafiber/schema/all.def>

KF_END_DECLS

#pragma pop_macro("API")
#pragma pop_macro("MESSAGE")
#pragma pop_macro("STRUCT")
#pragma pop_macro("END")
#pragma pop_macro("FIELD")
#pragma pop_macro("ARRAY")
#pragma pop_macro("STRUCT_FIELD")
#pragma pop_macro("STRUCT_POINTER")
#pragma pop_macro("STRUCT_ARRAY")
#pragma pop_macro("NO_FIELDS")

#endif
