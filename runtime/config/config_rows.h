/*
 * config_rows: the configuration keys as a table, and what one value is
 * checked with. Shared by the config*.c files and by nobody else.
 */
#ifndef KF_RUNTIME_CONFIG_ROWS_H
#define KF_RUNTIME_CONFIG_ROWS_H

#include "runtime/config/config.h"

enum kf__row_kind {
    KF__ROW_SECTION,
    KF__ROW_BOOL,
    KF__ROW_INT,
    KF__ROW_LONG,
    KF__ROW_WORD,
    KF__ROW_TEXT,
    KF__ROW_SECRET, /* the kinds up to here are honoured */
    KF__ROW_ALIAS,
    KF__ROW_ONLY,
    KF__ROW_IGNORED,
    KF__ROW_REFUSED,
    KF__ROW_LATER,
    KF__ROW_LATER_SECRET,
};

/* What a text must look like. */
enum kf__form {
    KF__FORM_ANY,
    KF__FORM_INSTANCE_ID,
    KF__FORM_SERVERS,
    KF__FORM_ASSIGNORS,
    KF__FORM_RESET,
    KF__FORM_ENDPOINT,
    KF__FORM_FRACTION,
};

struct kf__config_row {
    enum kf__row_kind kind;
    const char *key;
    const char *value; /* the default; of ALIAS: the other key; of ONLY: what is accepted */
    const char *doc;   /* of IGNORED, REFUSED, LATER: the reason, the way out, what is missing */
    const char *words; /* of WORD: separated by | */
    int64_t low;
    int64_t high;
    size_t offset; /* of the field in struct kf__settings */
    enum kf__form form;
    int kip;
};

extern const struct kf__config_row kf__config_rows[];
extern const size_t kf__config_row_count;

/* The row's index, or -1. Spelled exactly, as in Java. */
ptrdiff_t kf__config_find(const char *key);
/* The key that is nearest by edits, or NULL where none is near. */
const char *kf__config_nearest(const char *key);

/* Where a value stands, for the beginning of a sentence about it. */
struct kf__origin {
    enum kf__source source;
    const char *name; /* of the file or environment variable; NULL: none */
    size_t line;      /* 0: none */
};

/* KF_ERR_CONFIG, "NAME:LINE: …". */
kf_err kf__config_complain(const struct kf__origin *origin, kf_error *error, const char *format,
                           ...) KF_PRINTF(3, 4);

/* All that is known of a value without looking at other keys. The text is trimmed already. */
kf_err kf__config_check(const struct kf__config_row *row, const char *text,
                        const struct kf__origin *origin, kf_error *error);

/* The parsers, each of a text that kf__config_check has passed or is about to judge. */
bool kf__parse_bool(const char *text, bool *value);
bool kf__parse_long(const char *text, int64_t *value);
/* The word's place in words, or -1; letter case doesn't matter. */
int kf__parse_word(const char *text, const char *words);
/* 0 to 1, such as 0.85. */
bool kf__parse_fraction(const char *text, double *value);
bool kf__parse_reset(const char *text, enum kf__reset *reset, int64_t *back_ms);
/* One entry of the list; NULL at its end. `*list` moves on; size excludes white space. */
const char *kf__next_entry(const char **list, size_t *size);
/* An assignor by its name or Java class. */
bool kf__parse_assignor(const char *entry, size_t size, enum kf__assignor *assignor);

/*
 * Cuts one entry of bootstrap.servers. `problem` gets the sentence that says
 * what is wrong with it, NULL where nothing is.
 */
struct kf__server_view {
    const char *host;
    size_t host_size;
    uint16_t port;
    const char *problem;
};
struct kf__server_view kf__parse_server(const char *entry, size_t size);

/* The servers of a checked list in one allocation of `alloc`; NULL: out of memory. */
struct kf__host *kf__parse_servers(const kf_allocator *alloc, const char *list, size_t *count);

/* Reads a .properties text and hands each pair to `set` with its line; its error ends it. */
typedef kf_err (*kf__property_fn)(void *context, const char *key, const char *value, size_t line,
                                  kf_error *error);
kf_err kf__properties_read(const kf_allocator *alloc, const char *text, size_t size,
                           const char *name, kf__property_fn set, void *context, kf_error *error);

/* Says which security.protocol is meant where none was named. */
kf_err kf__config_choose_protocol(const kf_config *config, struct kf__settings *settings,
                                  kf_error *error);

/* The value as set, NULL where it was not. */
const char *kf__config_value(const kf_config *config, size_t row);
const struct kf__host *kf__config_servers(const kf_config *config, size_t *count);
struct kf__sasl_hooks kf__config_hooks(const kf_config *config);
void kf__config_log_target(const kf_config *config, struct kf__settings *settings);

#endif
