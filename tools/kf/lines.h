/*
 * lines: records as lines: lossless JSON, and -f formats (docs/cli.md).
 *
 *   {"topic":"orders","partition":0,"offset":12,"timestamp":1700000000000,
 *    "key":"k","value":"v","headers":[["h","v"],["h",null]]}          (one line)
 *
 * null is null and "" is empty; headers keep order and repeats. Bytes that
 * are not UTF-8 stand as base64: "key_b64", "value_b64", {"b64": …}. Nothing
 * here reads or writes a stream.
 */
#ifndef KF_TOOLS_LINES_H
#define KF_TOOLS_LINES_H

#include <kafiber/codec.h>
#include <kafiber/message.h>
#include <kafiber/producer.h>

/* Appends the object, without newline. */
void kf__line_json(kf_writer *out, const kf_message *message);

/* Appends "text" in quotes with JSON's escapes; `text` must be UTF-8. */
void kf__json_string(kf_writer *out, const char *text, size_t size);
bool kf__is_utf8(const void *bytes, size_t size);

/*
 * Reads such an object. Strings lie in the arena; topic is NULL, partition -1
 * and timestamp 0 where they are not there; offset is ignored, and so are
 * names that it doesn't know. KF_ERR_BAD_JSON with a sentence.
 */
kf_err kf__line_read(const char *text, size_t size, kf_arena *arena, kf_record *record,
                     kf_error *error);

/* A format, compiled. */
struct kf__format {
    struct kf__format_step *steps;
    size_t count;
};
/* KF_ERR_INVALID_ARGUMENT with a sentence. */
kf_err kf__format_parse(const char *text, struct kf__format *format, kf_error *error);
void kf__format_free(struct kf__format *format);
/* Appends the record; what stands in the format is all there is, newline included. */
void kf__line_format(kf_writer *out, const struct kf__format *format, const kf_message *message);

/* Standard base64 with padding. */
void kf__put_base64(kf_writer *out, const uint8_t *bytes, size_t size);

#endif
