/*
 * broker_assert: assertions over the embedded broker, for any test program:
 *
 *     kf_broker_assert_produced(broker, "orders", "k1", "paid");
 *     kf_broker_assert_committed(broker, "billing", "orders", 0, 42);
 *
 * One that fails says what comes nearest to what was asked for. With Criterion
 * included before this header it fails the test, without it the program
 * aborts; define KF_BROKER_ASSERT_FAILED(file, line, text) for anything else.
 * Only the one that fails costs: each asks the broker once. Any thread.
 */
#ifndef KAFIBER_BROKER_ASSERT_H
#define KAFIBER_BROKER_ASSERT_H

#include <kafiber/broker.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef KF_BROKER_ASSERT_FAILED
#if defined(cr_fatal) /* criterion/new/assert.h */
#define KF_BROKER_ASSERT_FAILED(file, line, text) cr_fatal("%s", text)
#elif defined(CRITERION_H_)
#define KF_BROKER_ASSERT_FAILED(file, line, text) cr_assert_fail("%s", text)
#else
#define KF_BROKER_ASSERT_FAILED(file, line, text)                                                  \
    (fprintf(stderr, "%s:%d: %s\n", file, line, text), abort())
#endif
#endif

#define KF_BROKER_ASSERT(call)                                                                     \
    do {                                                                                           \
        kf_error kf_miss_ = KF_ERROR_INIT;                                                         \
        if (!(call))                                                                               \
            KF_BROKER_ASSERT_FAILED(__FILE__, __LINE__, kf_miss_.text);                            \
    } while (0)

/* Some record of the topic has this key and value; NULL: any. */
#define kf_broker_assert_produced(broker, topic, key, value)                                       \
    KF_BROKER_ASSERT(kf_broker_check_produced((broker), (topic), (key), (value), &kf_miss_))
/* The topic holds so many records, all partitions together. */
#define kf_broker_assert_records(broker, topic, count)                                             \
    KF_BROKER_ASSERT(kf_broker_check_records((broker), (topic), (count), &kf_miss_))
#define kf_broker_assert_committed(broker, group, topic, partition, offset)                        \
    KF_BROKER_ASSERT(                                                                              \
        kf_broker_check_committed((broker), (group), (topic), (partition), (offset), &kf_miss_))
#define kf_broker_assert_members(broker, group, count)                                             \
    KF_BROKER_ASSERT(kf_broker_check_members((broker), (group), (count), &kf_miss_))
#define kf_broker_assert_member(broker, group, client_id)                                          \
    KF_BROKER_ASSERT(kf_broker_check_member((broker), (group), (client_id), &kf_miss_))
/* From least to most requests of the API came from the client; NULL: from all together. */
#define kf_broker_assert_requests(broker, api_key, client_id, least, most)                         \
    KF_BROKER_ASSERT(                                                                              \
        kf_broker_check_requests((broker), (api_key), (client_id), (least), (most), &kf_miss_))

#endif
