/*
 * demo_cluster: where the orders lie: the embedded broker in this process, or
 * a real cluster, where the demo makes a topic of its own and deletes it.
 */
#include "tools/kf/demo.h"

#include <kafiber/messages.h>
#include <kafiber/producer.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FIRST_DEFAULT_REPLICAS = 4, /* CreateTopics: the broker's default replication (KIP-464) */
    PATIENCE_SECONDS = 10,
};

static kf_time soon(void) { return kf_now() + PATIENCE_SECONDS * KF_SECOND; }

static kf_string string_of(const char *text) { return (kf_string){text, strlen(text)}; }

/* ---- the topic ---- */

static int16_t replicas_of(struct kf__demo *demo)
{
    int16_t least = 0, most = 0;
    kf_err err = kf_client_api_versions(demo->client, KF_NODE_ANY, KF_API_CREATE_TOPICS, soon(),
                                        &least, &most, NULL);
    return !err && most < FIRST_DEFAULT_REPLICAS ? 1 : -1;
}

static kf_err take_created(const struct kf__demo *demo, const kf_response *response,
                           kf_error *error)
{
    const struct kf_create_topics_response *answer = response->message;
    if (answer->topics.count != 1)
        return kf_error_set(error, KF_ERR_NOT_KAFKA, "CreateTopics answered for another topic");
    kf_err err = answer->topics.items[0].error_code;
    if (!err)
        return KF_OK;
    kf_string text = answer->topics.items[0].error_message;
    return kf_error_set(error, err, "topic %s could not be created: %.*s", demo->topic,
                        text.data ? (int)text.size : (int)strlen(kf_err_text(err)),
                        text.data ? text.data : kf_err_text(err));
}

/* The controller knows it; now all brokers shall, with a leader for each partition. */
static kf_err wait_for_topic(struct kf__demo *demo, kf_error *error)
{
    kf_time deadline = soon();
    for (int32_t i = 0; i < KF__DEMO_PARTITIONS;) {
        int32_t node;
        kf_error why = KF_ERROR_INIT;
        if (kf_client_leader(demo->client, demo->topic, i, deadline, &node, &why) == KF_OK)
            i++;
        else if (kf_now() >= deadline || !kf_err_retriable(why.code))
            return kf_error_set(error, why.code, "%s", why.text);
        else
            kf_sleep(20 * KF_MILLISECOND);
    }
    return KF_OK;
}

static kf_err create_topic(struct kf__demo *demo, kf_error *error)
{
    struct kf_create_topics_request_creatable_topic topic;
    memset(&topic, 0, sizeof topic);
    topic.name = string_of(demo->topic);
    topic.num_partitions = KF__DEMO_PARTITIONS;
    topic.replication_factor = replicas_of(demo);
    struct kf_create_topics_request request;
    kf_reset(&kf_schema_of_create_topics_request, &request);
    request.topics.items = &topic;
    request.topics.count = 1;
    request.timeout_ms = PATIENCE_SECONDS * 1000;
    kf_response response = {0};
    kf_err err = kf_call(demo->client, KF_NODE_CONTROLLER, &kf_schema_of_create_topics_request, -1,
                         &request, soon(), &response, error);
    if (!err)
        err = take_created(demo, &response, error);
    kf_response_free(&response);
    return err ? err : wait_for_topic(demo, error);
}

static void delete_topic(struct kf__demo *demo)
{
    enum {
        LAST_BY_NAME = 5
    };
    kf_string name = string_of(demo->topic);
    struct kf_delete_topics_request request;
    kf_reset(&kf_schema_of_delete_topics_request, &request);
    request.topic_names.items = &name;
    request.topic_names.count = 1;
    request.timeout_ms = PATIENCE_SECONDS * 1000;
    int16_t least = 0, version = LAST_BY_NAME;
    kf_err err = kf_client_api_versions(demo->client, KF_NODE_ANY, KF_API_DELETE_TOPICS, soon(),
                                        &least, &version, NULL);
    if (err || version > LAST_BY_NAME)
        version = LAST_BY_NAME;
    kf_response response = {0};
    kf_error error = KF_ERROR_INIT;
    err = kf_call(demo->client, KF_NODE_CONTROLLER, &kf_schema_of_delete_topics_request, version,
                  &request, soon(), &response, &error);
    const struct kf_delete_topics_response *answer = response.message;
    if (!err && answer->responses.count == 1)
        err = answer->responses.items[0].error_code;
    if (err)
        fprintf(stderr, "kf demo: topic %s is left behind: %s\n", demo->topic, kf_err_text(err));
    kf_response_free(&response);
}

/* The group has no members any more; where it can't be deleted, it expires by itself. */
static void delete_group(struct kf__demo *demo)
{
    kf_string name = string_of(demo->group);
    struct kf_delete_groups_request request;
    kf_reset(&kf_schema_of_delete_groups_request, &request);
    request.groups_names.items = &name;
    request.groups_names.count = 1;
    int32_t node;
    kf_response response = {0};
    if (kf_client_coordinator(demo->client, demo->group, 0, soon(), &node, NULL) == KF_OK)
        kf_call(demo->client, node, &kf_schema_of_delete_groups_request, -1, &request, soon(),
                &response, NULL);
    kf_response_free(&response);
}

/* ---- the cluster ---- */

static kf_err start_broker(struct kf__demo *demo, kf_error *error)
{
    kf_broker_options options = {.size = sizeof options, .thread = true};
    demo->broker = kf_broker_start(&options, error);
    if (!demo->broker)
        return error->code;
    demo->bootstrap = kf_broker_bootstrap(demo->broker);
    return kf_config_set(demo->command.config, "bootstrap.servers", demo->bootstrap, error);
}

static void name_things(struct kf__demo *demo)
{
    if (!demo->real_cluster) {
        snprintf(demo->topic, sizeof demo->topic, "orders");
        snprintf(demo->group, sizeof demo->group, "billing");
        return;
    }
    long long now = (long long)time(NULL);
    snprintf(demo->topic, sizeof demo->topic, "kafiber-demo-orders-%lld-%d", now, (int)getpid());
    snprintf(demo->group, sizeof demo->group, "kafiber-demo-billing-%lld-%d", now, (int)getpid());
}

int kf__demo_open_cluster(struct kf__demo *demo)
{
    kf_error error = KF_ERROR_INIT;
    name_things(demo);
    kf_err err = demo->real_cluster ? KF_OK : start_broker(demo, &error);
    if (!err) {
        demo->client = kf_client_new(demo->command.config, &error);
        err = demo->client ? create_topic(demo, &error) : error.code;
    }
    if (err) {
        kf_client_close(demo->client);
        kf_broker_stop(demo->broker);
        demo->client = NULL;
        demo->broker = NULL;
    }
    return err ? kf__report(&demo->command, &error) : KF__GO_ON;
}

void kf__demo_close_cluster(struct kf__demo *demo)
{
    if (demo->client && demo->real_cluster) {
        delete_topic(demo);
        delete_group(demo);
    }
    kf_client_close(demo->client);
    kf_broker_stop(demo->broker);
}

/* ---- the orders ---- */

struct tally {
    atomic_llong stored[KF__DEMO_PARTITIONS];
    _Atomic kf_err err;
};

static void take_verdict(void *context, const kf_delivery *delivery)
{
    struct tally *tally = context;
    if (delivery->err)
        atomic_store(&tally->err, delivery->err);
    else if (delivery->partition >= 0 && delivery->partition < KF__DEMO_PARTITIONS)
        atomic_fetch_add(&tally->stored[delivery->partition], 1);
}

static kf_err produce_order(struct kf__demo *demo, kf_producer *producer, int number,
                            struct tally *tally, kf_error *error)
{
    char key[32], value[96];
    int customer = (int)((unsigned)number * 2654435761u % KF__DEMO_CUSTOMERS);
    int key_size = snprintf(key, sizeof key, "customer-%d", customer);
    int value_size = snprintf(value, sizeof value, "{\"order\":%d,\"customer\":%d,\"cents\":%d}",
                              number, customer, 99 + number * 7 % 10000);
    kf_record record = {
        .topic = demo->topic,
        .partition = -1,
        .key = {(const uint8_t *)key, (size_t)key_size},
        .value = {(const uint8_t *)value, (size_t)value_size},
    };
    return kf_produce(producer, &record, take_verdict, tally, soon(), error);
}

int kf__demo_produce(struct kf__demo *demo, int64_t stored[KF__DEMO_PARTITIONS])
{
    kf_error error = KF_ERROR_INIT;
    struct tally tally = {0};
    kf_producer *producer = kf_producer_new(demo->command.config, &error);
    if (!producer)
        return kf__report(&demo->command, &error);
    kf_err err = KF_OK;
    for (int i = 0; i < KF__DEMO_ORDERS && !err; i++)
        err = produce_order(demo, producer, i, &tally, &error);
    kf_err closed = kf_producer_close(producer, soon());
    if (!err)
        err = atomic_load(&tally.err) ? atomic_load(&tally.err) : closed;
    for (int i = 0; i < KF__DEMO_PARTITIONS; i++)
        stored[i] = atomic_load(&tally.stored[i]);
    if (!err)
        return KF__GO_ON;
    kf_error_set(&error, err, "orders could not be stored: %s", kf_err_text(err));
    return kf__report(&demo->command, &error);
}
