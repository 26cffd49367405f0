/*
 * types: the few shapes that every other header speaks in.
 *
 * Nothing here allocates. A view borrows; whoever hands it out says for how
 * long. Null and empty are two things: null has data == NULL, empty has
 * data != NULL and size == 0.
 */
#ifndef KAFIBER_TYPES_H
#define KAFIBER_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define KF_BEGIN_DECLS extern "C" {
#define KF_END_DECLS   }
#else
#define KF_BEGIN_DECLS
#define KF_END_DECLS
#endif

#if defined(__GNUC__)
#define KF_API                        __attribute__((visibility("default")))
#define KF_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#else
#define KF_API
#define KF_PRINTF(format_at, args_at)
#endif

/* Borrowed bytes: a record's key or value, a `bytes` or `records` field. */
typedef struct kf_bytes {
    const uint8_t *data; /* NULL: the value is null */
    size_t size;         /* in bytes */
} kf_bytes;

/* Borrowed UTF-8 text, not NUL-terminated. */
typedef struct kf_string {
    const char *data; /* NULL: the value is null */
    size_t size;      /* in bytes */
} kf_string;

typedef struct kf_uuid {
    uint8_t bytes[16]; /* network order, as on the wire */
} kf_uuid;

/* Nanoseconds on the monotonic clock (CLOCK_MONOTONIC). Deadlines are absolute. */
typedef int64_t kf_time;

#define KF_FOREVER     INT64_MAX /* a deadline that never comes */
#define KF_MICROSECOND ((kf_time)1000)
#define KF_MILLISECOND ((kf_time)1000000)
#define KF_SECOND      ((kf_time)1000000000)

#endif
