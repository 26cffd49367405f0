/*
 * help_virtual: members of ours and the embedded broker by a clock that the
 * test moves, so that a minute of waiting costs nothing and equal runs are equal.
 *
 *     virtual_broker(&(kf_broker_options){.nodes = 2});
 *     kf_runtime *member = virtual_member("client.rack=b", NULL);
 *     kf_runtime_handle(member, …);
 *     virtual_start(member);
 *     virtual_play(5000);
 *     virtual_end();
 */
#ifndef KF_TESTS_HELP_VIRTUAL_H
#define KF_TESTS_HELP_VIRTUAL_H

#include <kafiber/broker.h>
#include <kafiber/kafiber.h>

/* The one broker of the test; options may be NULL. */
kf_broker *virtual_broker(const kf_broker_options *options);
/* Group g; settings as KEY=VALUE, then NULL. Not started. */
kf_runtime *virtual_member(const char *setting, ...);
/* From now on it has its turns; virtual_end closes it where the test has not. */
void virtual_start(kf_runtime *member);
void virtual_play(int64_t ms);
kf_err virtual_close(kf_runtime *member);
void virtual_end(void);

void virtual_produce(const char *topic, int32_t partition, int count);
kf_broker_fault virtual_error(int16_t api, kf_err error, int64_t times);
int32_t virtual_fault(kf_broker_fault fault);

#endif
