/*
 * options: what a verb's command line says, and the configuration that comes
 * of it: flag before environment before file before default.
 *
 *     static const struct kf__option options[] = {
 *         {'n', "count", KF__OPTION_NUMBER, offsetof(struct wishes, count), "COUNT"}, …
 *
 * Every verb also has -b, -F, -X, --json, --timeout, --verbose and --help.
 */
#ifndef KF_TOOLS_OPTIONS_H
#define KF_TOOLS_OPTIONS_H

#include <kafiber/client.h>
#include <kafiber/config.h>

/* Exit codes (docs/cli.md). */
enum {
    KF__EXIT_DONE = 0,
    KF__EXIT_PARTLY = 1,
    KF__EXIT_USAGE = 2,
    KF__EXIT_NO_BROKER = 3,
    KF__EXIT_SIGNAL = 128, /* plus the signal */
    KF__GO_ON = -1,        /* no exit yet */
};

enum kf__option_kind {
    KF__OPTION_FLAG,   /* bool */
    KF__OPTION_TEXT,   /* const char *; the last one counts */
    KF__OPTION_NUMBER, /* int64_t, not negative */
    KF__OPTION_TEXTS,  /* struct kf__texts; all count */
};

struct kf__texts {
    const char **items;
    size_t count;
};

struct kf__option {
    char letter;      /* 0: none */
    const char *name; /* "count" for --count; NULL: none */
    enum kf__option_kind kind;
    size_t offset; /* where in the verb's struct it goes */
};

struct kf__command {
    const char *verb;  /* "topic create": for what is said on stderr */
    const char *usage; /* what --help prints; fits a screen */
    const struct kf__option *options;
    size_t option_count;

    /* ---- filled in ---- */
    struct kf__texts arguments; /* what is no option */
    kf_config *config;
    bool json;
    bool verbose;
    int64_t timeout_ms; /* of one request to a broker, finding it included */
};

/*
 * Reads argv[1] and on. KF__GO_ON, or the exit code: 0 after --help, 2 with a
 * word on stderr. kf__command_free either way.
 */
int kf__command_read(struct kf__command *command, int argc, char **argv, void *wishes);
void kf__command_free(struct kf__command *command);

/* "kf VERB: …" on stderr; returns 2. */
int kf__usage_error(const struct kf__command *command, const char *format, ...) KF_PRINTF(2, 3);
/* The same for an error of the library, with its name; returns its exit code. */
int kf__report(const struct kf__command *command, const kf_error *error);

/* When a request that begins now has to be answered. */
kf_time kf__command_deadline(const struct kf__command *command);

/* For a verb that has something to finish: `note` gets the first SIGINT or SIGTERM, and the second
   one ends the process at once. */
void kf__catch_signals(void (*note)(int number));

/* Flushes stdout; `code`, or 1 with a word where it could not be written. */
int kf__finish(const struct kf__command *command, int code);

/* The name most like `text`, NULL where none is; for "did you mean". */
const char *kf__nearest(const char *text, const char *const *names, size_t count);

/* A whole decimal number, sign allowed. */
bool kf__read_number(const char *text, int64_t *number);

#endif
