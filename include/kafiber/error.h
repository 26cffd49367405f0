/*
 * error: what can go wrong, and how it is told.
 *
 * kf_err is 0 for success, positive for the codes of the Kafka protocol
 * (https://kafka.apache.org/protocol#protocol_error_codes), negative for our
 * own. Name, text and whether a retry may help stand in one table,
 * errors.def.
 *
 * Constructors and configuration also fill a kf_error, with a sentence that
 * says what was tried, where, what came back and what to do.
 */
#ifndef KAFIBER_ERROR_H
#define KAFIBER_ERROR_H

#include <kafiber/types.h>
#include <stdbool.h>
#include <stdio.h>

KF_BEGIN_DECLS

typedef int32_t kf_err;

enum {
    KF_OK = 0,
#define KF_ERROR_ROW(name, number, retriable, text) KF_ERR_##name = number,
#include <kafiber/errors.def>
#undef KF_ERROR_ROW
};

enum {
    KF_ERROR_TEXT_BYTES = 512
};

typedef struct kf_error {
    kf_err code;                    /* KF_OK: nothing has failed */
    char text[KF_ERROR_TEXT_BYTES]; /* one sentence, NUL-terminated; cut where it is longer */
} kf_error;

/* clang-format off */
#define KF_ERROR_INIT {0, {0}}
/* clang-format on */

/* "NOT_LEADER_OR_FOLLOWER", "TIMED_OUT"; "UNKNOWN" for a number not in the table. Static. */
KF_API const char *kf_err_name(kf_err err);
/* One sentence in plain words. Static. */
KF_API const char *kf_err_text(kf_err err);
/* Whether the same call may succeed later without anybody changing anything. */
KF_API bool kf_err_retriable(kf_err err);

/* Keeps the first error: a kf_error that already holds one stays as it is. NULL is allowed. */
KF_API kf_err kf_error_set(kf_error *error, kf_err code, const char *format, ...) KF_PRINTF(3, 4);

/*
 * Writes "error: TEXT (NAME)" and a newline, nothing where there was no
 * error. Returns the exit code that suits main(): 0 done, 1 refused by Kafka,
 * 2 configuration, 3 no broker or a deadline, 4 authentication or TLS.
 */
KF_API int kf_error_print(const kf_error *error, FILE *stream);
KF_API int kf_err_exit_code(kf_err err);

KF_END_DECLS

#endif
