/*
 * json_scan: tokens of a JSON text (RFC 8259), read strictly. Knows no
 * messages: json_read.c asks it for what the rows say should come.
 *
 * The first error sticks, with a sentence that says where.
 */
#ifndef KF_PROTO_JSON_SCAN_H
#define KF_PROTO_JSON_SCAN_H

#include <kafiber/codec.h>
#include <stdbool.h>

struct kf__scan {
    const char *start;
    const char *at;
    const char *end;
    kf_arena *arena; /* strings go here */
    kf_error *error;
    kf_err err;
};

/* Fails with "byte N: …"; later calls return zeros. */
void kf__scan_fail(struct kf__scan *scan, const char *format, ...) KF_PRINTF(2, 3);
void kf__scan_no_memory(struct kf__scan *scan);

/* The next character that is no space, without taking it; 0 at the end or after an error. */
char kf__scan_peek(struct kf__scan *scan);
/* Takes `c` if it comes next. */
bool kf__scan_accept(struct kf__scan *scan, char c);
void kf__scan_expect(struct kf__scan *scan, char c);
/* Takes true, false or null if that comes next. */
bool kf__scan_word(struct kf__scan *scan, const char *word);
/* A string, unescaped, in the arena; a lone surrogate becomes '?', as in Java. */
kf_string kf__scan_string(struct kf__scan *scan);
/* A number's characters; *integer says that it has neither fraction nor exponent. */
kf_string kf__scan_number(struct kf__scan *scan, bool *integer);
/* Any value, dropped. */
void kf__scan_skip(struct kf__scan *scan);
/* How many elements the array has whose '[' was just taken; takes nothing. */
size_t kf__scan_count(const struct kf__scan *scan);

#endif
