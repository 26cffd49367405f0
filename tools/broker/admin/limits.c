#include "tools/broker/admin/limits.h"

#include "tools/broker/text.h"

void kf__limits_follow(struct kf__limits *limits, const struct kf__configs *configs)
{
    const struct {
        const char *key;
        int64_t *into;
    } rows[] = {
        {"fetch.max.bytes", &limits->fetch_bytes},
        {"socket.request.max.bytes", &limits->request_bytes},
        {"sasl.server.max.receive.size", &limits->stranger_bytes},
        {"max.request.partition.size.limit", &limits->partitions_of_answer},
        {"telemetry.max.bytes", &limits->telemetry_bytes},
        {"max.connections.per.ip", &limits->connections_of_ip},
        {"connections.max.idle.ms", &limits->idle_ms},
    };
    if (limits->request_bytes > 0 && limits->as_of == configs->changes)
        return;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        *rows[i].into = kf__configs_number(configs, KF__RESOURCE_BROKER, kf__text(""), rows[i].key);
    limits->as_of = configs->changes;
}
