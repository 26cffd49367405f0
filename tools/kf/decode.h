/*
 * decode: what `kf decode` is made of besides capture.h and streams.h.
 *
 *   input ──decode.c──▶ capture ─▶ streams ─▶ frame ──decode_print.c──▶ tree or JSON
 *                 └──▶ decode_text.c: hex ──▶ raw stream of frames ──┘
 *
 * What has come is shown before more is waited for.
 */
#ifndef KF_TOOLS_DECODE_H
#define KF_TOOLS_DECODE_H

#include "tools/kf/streams.h"

#include <kafiber/dissect.h>
#include <stdbool.h>
#include <stdio.h>

/* What has been printed, and what it came to. */
struct kf__printer {
    FILE *out;
    bool json;
    bool all; /* also the tags of structs that have none */
    kf_arena arena;
    kf_writer text;
    kf_dissect_memory memory;
    void *message;
    size_t message_size;
    uint64_t frames;
    uint64_t damaged;   /* frames with a problem */
    uint64_t undecoded; /* bytes */
    uint64_t losses;    /* remarks that say that bytes could not be decoded */
    kf_err err;
};

void kf__printer_init(struct kf__printer *printer, FILE *out, bool json, bool all);
void kf__printer_free(struct kf__printer *printer);
/* These fit struct kf__streams_events; the context is the printer. */
void kf__print_frame(const struct kf__frame_seen *frame, void *printer);
void kf__print_remark(uint64_t connection, bool loss, const char *text, void *printer);

/* Whether a text of hex may begin so. */
bool kf__may_be_hex(const uint8_t *bytes, size_t size);
/* Whether all of it is hex digits, white space, and what dumps put around them. */
bool kf__is_hex_text(const uint8_t *bytes, size_t size);
/*
 * Hex to bytes, in place: *size says how many. Understands plain hex, `xxd`
 * and `hexdump -C`, and # comments. False: *line is where it is no hex.
 */
bool kf__hex_to_bytes(uint8_t *bytes, size_t *size, size_t *line);

enum kf__direction {
    KF__EITHER, /* each frame tells: a request, or an answer to one before */
    KF__REQUESTS,
    KF__RESPONSES
};
/* A request that waits for its answer. */
struct kf__asked {
    int32_t correlation_id;
    int16_t api_key;
    int16_t api_version;
};
enum {
    KF__MOST_ASKED = 4096 /* then the oldest is forgotten */
};
/* A stream of frames without a capture around it. */
struct kf__raw {
    enum kf__direction direction;
    int16_t api_key; /* of responses */
    int16_t api_version;
    struct kf__asked asked[KF__MOST_ASKED];
    size_t asked_count;
};
enum {
    KF__SIZE_FIELD = 4 /* bytes */
};
/* Bytes of the frame that begins with these; of one that is not *sound, how many are shown. */
size_t kf__raw_frame_size(const uint8_t *bytes, size_t size, bool *sound);
/* Prints it, or what of it is here. */
void kf__decode_raw_frame(struct kf__raw *raw, const uint8_t *bytes, size_t size,
                          struct kf__printer *printer);

#endif
