#include "tests/runtime/producer/help_producer.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

kf_broker *help_start_broker(kf_broker_options options, int32_t partitions)
{
    kf_error error = KF_ERROR_INIT;
    options.size = sizeof options;
    options.thread = true;
    kf_broker *broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, (void *)broker, NULL), "%s", error.text);
    int32_t nodes = options.nodes;
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", partitions, nodes), KF_OK));
    return broker;
}

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

kf_config *help_configure(const kf_broker *broker, const kf_allocator *alloc, kf_error *error)
{
    kf_config *config = kf_config_new(alloc);
    kf_config_log(config, KF_LOG_ERROR, hush, NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), error);
    return config;
}

kf_producer *help_open_producer(kf_config *config, const char *const *settings, kf_error *error)
{
    for (; settings && *settings; settings += 2)
        kf_config_set(config, settings[0], settings[1], error);
    kf_producer *producer = error->code ? NULL : kf_producer_new(config, error);
    kf_config_free(config);
    return producer;
}
