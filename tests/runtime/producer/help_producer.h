/* What the tests of a producer begin with: an embedded broker with one topic, a producer there. */
#ifndef KF_TESTS_HELP_PRODUCER_H
#define KF_TESTS_HELP_PRODUCER_H

#include <kafiber/broker.h>
#include <kafiber/producer.h>

/* On a thread of its own, with the topic "orders", a replica on each node. Fails the test. */
kf_broker *help_start_broker(kf_broker_options options, int32_t partitions);
/* Quiet, and to this broker. `alloc` may be NULL. */
kf_config *help_configure(const kf_broker *broker, const kf_allocator *alloc, kf_error *error);
/* Takes the config. `settings`: key, value, …, NULL; may be NULL. NULL: *error says why. */
kf_producer *help_open_producer(kf_config *config, const char *const *settings, kf_error *error);

static inline kf_time in(kf_time duration) { return kf_now() + duration; }

#endif
