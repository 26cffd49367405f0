/*
 * json_fields: some members of one JSON object, for those who need a token
 * out of an answer and no more. Read strictly (RFC 8259), to the last byte;
 * a wanted member that stands there twice is an error. Pure.
 */
#ifndef KF_NET_JSON_FIELDS_H
#define KF_NET_JSON_FIELDS_H

#include <kafiber/codec.h>
#include <stdbool.h>

struct kf__json_field {
    const char *name;
    kf_string text; /* of a string, in the arena; null where it is something else */
    bool is_number;
    double number;
};

/* Fills what is found; the other fields stay as they are. KF_ERR_BAD_JSON, KF_ERR_NO_MEMORY. */
kf_err kf__json_fields(kf_arena *arena, kf_string json, struct kf__json_field *fields, size_t count,
                       kf_error *error);

#endif
