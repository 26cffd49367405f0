#include "help_virtual.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    MEMBERS_MAX = 4
};

static kf_broker *broker;
static kf_runtime *members[MEMBERS_MAX];
static size_t count;

kf_broker *virtual_broker(const kf_broker_options *options)
{
    kf_error error = KF_ERROR_INIT;
    kf_broker_options mine = {0};
    if (options)
        mine = *options;
    mine.size = sizeof mine;
    mine.virtual_time = true;
    mine.seed = 7;
    broker = kf_broker_start(&mine, &error);
    cr_assert(ne(ptr, broker, NULL), "%s", error.text);
    return broker;
}

static void set(kf_config *config, const char *pair)
{
    kf_error error = KF_ERROR_INIT;
    char key[128];
    const char *equals = strchr(pair, '=');
    snprintf(key, sizeof key, "%.*s", (int)(equals - pair), pair);
    kf_config_set(config, key, equals + 1, &error);
    cr_assert(eq(int, error.code, 0), "%s", error.text);
}

kf_runtime *virtual_member(const char *setting, ...)
{
    kf_error error = KF_ERROR_INIT;
    kf_config *config = kf_config_new(NULL);
    kf_config_world(config, kf_broker_world(broker));
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    set(config, "group.id=g");
    set(config, "worker.threads=0");
    kf_config_log(config, getenv("KAFIBER_TEST_LOG") ? KF_LOG_DEBUG : KF_LOG_ERROR, NULL, NULL);
    va_list more;
    va_start(more, setting);
    for (const char *pair = setting; pair; pair = va_arg(more, const char *))
        set(config, pair);
    va_end(more);
    kf_runtime *member = kf_runtime_new(config, &error);
    cr_assert(ne(ptr, member, NULL), "%s", error.text);
    kf_config_free(config);
    return member;
}

void virtual_start(kf_runtime *member)
{
    kf_error error = KF_ERROR_INIT;
    cr_assert(eq(int, kf_runtime_start(member, &error), KF_OK), "%s", error.text);
    cr_assert(lt(sz, count, MEMBERS_MAX));
    members[count++] = member;
}

void virtual_play(int64_t ms)
{
    cr_assert(eq(int, kf_broker_play(broker, members, count, ms), KF_OK));
}

kf_err virtual_close(kf_runtime *member)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (members[i] != member)
            members[kept++] = members[i];
    count = kept;
    return kf_runtime_close(member);
}

void virtual_end(void)
{
    for (size_t i = 0; i < count; i++)
        kf_runtime_stop(members[i]);
    if (count)
        virtual_play(60000);
    while (count)
        cr_assert(eq(int, virtual_close(members[count - 1]), KF_OK));
    kf_broker_stop(broker);
}

void virtual_produce(const char *topic, int32_t partition, int records)
{
    for (int i = 0; i < records; i++)
        cr_assert(eq(int,
                     kf_broker_produce(broker, topic, partition, (kf_bytes){0},
                                       (kf_bytes){(const uint8_t *)"v", 1}, -1, NULL),
                     KF_OK));
}

kf_broker_fault virtual_error(int16_t api, kf_err error, int64_t times)
{
    return (kf_broker_fault){
        .kind = KF_BROKER_ANSWER_ERROR, .api_key = api, .error = error, .times = times};
}

int32_t virtual_fault(kf_broker_fault fault)
{
    fault.size = sizeof fault;
    int32_t id = kf_broker_fault_add(broker, &fault);
    cr_assert(lt(i32, 0, id));
    return id;
}
