/*
 * begin: opens one pass over the rows (all.def). Whoever includes them defines the
 * row macros it cares about first; the others become nothing here. end.h takes
 * all of them away again.
 *
 *   API(NAME, key)                       an API's number
 *   MESSAGE(name, Name, kind, versions, flexible)
 *       kind       REQUEST(key), RESPONSE(key), RECORD(type), HEADER or DATA
 *       versions   VERSIONS(first, last)
 *       flexible   FLEXIBLE(first): compact lengths and tagged fields from
 *                  there on (KIP-482); or NEVER_FLEXIBLE
 *   STRUCT(name) … END(name)             rows in wire order, children first
 *   FIELD(type, name, attributes…)       one value
 *   ARRAY(type, name, attributes…)       values
 *   STRUCT_FIELD(struct, name, …)        a struct inside
 *   STRUCT_POINTER(struct, name, …)      a struct inside that may be null
 *   STRUCT_ARRAY(struct, name, …)        structs
 *   NO_FIELDS                            a struct without any row
 *
 * Attributes: SINCE(version), UNTIL(version), NULLABLE(since),
 * NULLABLE_UNTIL(version), TAGGED(tag), DEFAULT(number), DEFAULT_NULL,
 * DEFAULT_EMPTY (a struct pointer's struct at its defaults),
 * DEFAULT_LARGEST (2^63 - 1), IGNORABLE (a value in a version that lacks the
 * field is dropped, not an error), NEVER_COMPACT (classic length even in
 * flexible versions).
 *
 * No include guard: it is included once per pass.
 */
#ifndef API
#define API(NAME, key)
#endif
#ifndef MESSAGE
#define MESSAGE(name, Name, kind, versions, flexible)
#endif
#ifndef STRUCT
#define STRUCT(name)
#endif
#ifndef END
#define END(name)
#endif
#ifndef FIELD
#define FIELD(...)
#endif
#ifndef ARRAY
#define ARRAY(...)
#endif
#ifndef STRUCT_FIELD
#define STRUCT_FIELD(...)
#endif
#ifndef STRUCT_POINTER
#define STRUCT_POINTER(...)
#endif
#ifndef STRUCT_ARRAY
#define STRUCT_ARRAY(...)
#endif
#ifndef NO_FIELDS
#define NO_FIELDS
#endif
