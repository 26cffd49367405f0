/*
 * reader: reads partitions without a group: assign, seek, read. For tools
 * and tests; it commits nothing and nobody else knows of it.
 *
 * One thread at a time uses a reader; its I/O runs on a thread of its own.
 */
#ifndef KAFIBER_READER_H
#define KAFIBER_READER_H

#include <kafiber/config.h>
#include <kafiber/fiber.h>
#include <kafiber/message.h>

KF_BEGIN_DECLS

typedef struct kf_reader kf_reader;

KF_API kf_reader *kf_reader_new(const kf_config *config, kf_error *error);
KF_API void kf_reader_close(kf_reader *reader);

typedef enum kf_seek {
    KF_SEEK_OFFSET,   /* value: the offset */
    KF_SEEK_EARLIEST, /* value: ignored */
    KF_SEEK_LATEST,   /* value: how many records before the end; 0: what comes from now on */
    KF_SEEK_TIME,     /* value: milliseconds since 1970 UTC; the first record at or after it */
} kf_seek;

/*
 * Begins to read a partition, or moves where it is read. Records read ahead
 * are dropped. Takes effect at once; an unknown topic is waited for.
 */
KF_API kf_err kf_reader_assign(kf_reader *reader, const char *topic, int32_t partition,
                               kf_seek seek, int64_t value, kf_error *error);
KF_API kf_err kf_reader_unassign(kf_reader *reader, const char *topic, int32_t partition);

/*
 * The next record of any assigned partition, in order within each; valid
 * until the next call on the reader (kf_message_retain keeps it longer).
 * KF_ERR_TIMED_OUT when the deadline passes; KF_ERR_OFFSET_OUT_OF_RANGE,
 * KF_ERR_BAD_CRC, …: *error says where, and the same error comes again until
 * the partition is assigned anew.
 */
KF_API kf_err kf_reader_read(kf_reader *reader, kf_time deadline, kf_message *message,
                             kf_error *error);

/* First offset and end (last offset plus one; under read_committed the last stable one) now. */
KF_API kf_err kf_reader_bounds(kf_reader *reader, const char *topic, int32_t partition,
                               kf_time deadline, int64_t *begin, int64_t *end, kf_error *error);
/* Offset of the next record to be read, past control records; -1: not known yet. */
KF_API int64_t kf_reader_position(kf_reader *reader, const char *topic, int32_t partition);
KF_API kf_err kf_reader_partitions(kf_reader *reader, const char *topic, kf_time deadline,
                                   int32_t *count, kf_error *error);

KF_END_DECLS

#endif
