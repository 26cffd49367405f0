/* A client against the embedded broker: any API on any broker, and what it says when that fails. */
#include <kafiber/broker.h>
#include <kafiber/client.h>
#include <kafiber/messages.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static kf_broker *broker;
static kf_client *client;
static kf_error error;

static void hush(void *context, const kf_log_event *event)
{
    (void)context;
    (void)event;
}

static kf_client *open_at(const char *servers)
{
    kf_config *config = kf_config_new(NULL);
    kf_config_log(config, KF_LOG_ERROR, hush, NULL);
    kf_config_set(config, "bootstrap.servers", servers, &error);
    kf_client *opened = kf_client_new(config, &error);
    kf_config_free(config);
    cr_assert(ne(ptr, (void *)opened, NULL), "%s", error.text);
    return opened;
}

static void set_up(void)
{
    kf_broker_options options = {
        .size = sizeof options, .nodes = 2, .thread = true, .no_auto_create = true};
    error = (kf_error)KF_ERROR_INIT;
    broker = kf_broker_start(&options, &error);
    cr_assert(ne(ptr, (void *)broker, NULL), "%s", error.text);
    cr_assert(eq(int, kf_broker_create_topic(broker, "orders", 3, 2), KF_OK));
    client = open_at(kf_broker_bootstrap(broker));
}

static void tear_down(void)
{
    kf_client_close(client);
    kf_broker_stop(broker);
}

TestSuite(client, .init = set_up, .fini = tear_down, .timeout = 30);

static kf_time in_ms(int64_t ms) { return kf_now() + ms * KF_MILLISECOND; }

static void ask_metadata(struct kf_metadata_request *request)
{
    kf_reset(&kf_schema_of_metadata_request, request);
    request->topics.items = NULL;
    request->topics.count = -1;
    request->allow_auto_topic_creation = false;
}

static kf_err call_metadata(int32_t node, int16_t version, int64_t ms, kf_response *response)
{
    struct kf_metadata_request request;
    ask_metadata(&request);
    return kf_call(client, node, &kf_schema_of_metadata_request, version, &request, in_ms(ms),
                   response, &error);
}

Test(client, hands_out_an_answer_that_lives_until_it_is_freed)
{
    kf_response first = {0}, second = {0};
    cr_assert(eq(int, call_metadata(KF_NODE_ANY, -1, 20000, &first), KF_OK), "%s", error.text);
    cr_assert(eq(int, call_metadata(KF_NODE_ANY, 4, 20000, &second), KF_OK), "%s", error.text);

    const struct kf_metadata_response *answer = first.message;
    cr_assert(eq(int, first.version, kf_schema_max_version(&kf_schema_of_metadata_request)));
    cr_assert(eq(int, answer->brokers.count, 2));
    cr_assert(eq(int, answer->topics.count, 1));
    cr_assert(eq(int, memcmp(answer->topics.items[0].name.data, "orders", 6), 0));
    cr_assert(eq(int, second.version, 4));
    kf_response_free(&first);
    kf_response_free(&second);
    cr_assert(zero(ptr, (void *)first.message));
}

Test(client, takes_version_0_for_version_0)
{
    kf_response response = {0};
    struct kf_find_coordinator_request request;
    kf_reset(&kf_schema_of_find_coordinator_request, &request);
    request.key = (kf_string){"g", 1};
    cr_assert(eq(int,
                 kf_call(client, KF_NODE_ANY, &kf_schema_of_find_coordinator_request, 0, &request,
                         in_ms(20000), &response, &error),
                 KF_OK),
              "%s", error.text);
    cr_assert(eq(int, response.version, 0));
    kf_response_free(&response);
}

Test(client, calls_the_node_it_is_told_before_any_metadata)
{
    for (int32_t node = 1; node <= 2; node++) {
        kf_response response = {0};
        cr_assert(eq(int, call_metadata(node, -1, 20000, &response), KF_OK), "%s", error.text);
        cr_assert(eq(int, response.node, node));
        kf_response_free(&response);
    }
}

Test(client, says_that_the_cluster_has_no_such_broker)
{
    kf_response response = {0};
    cr_assert(eq(int, call_metadata(77, -1, 20000, &response), KF_ERR_NO_BROKER));
    cr_assert(eq(str, error.text, "the cluster has no broker 77"));
    cr_assert(zero(ptr, (void *)response.message));
}

Test(client, refuses_a_version_that_it_does_not_speak)
{
    kf_response response = {0};
    cr_assert(eq(int, call_metadata(KF_NODE_ANY, 99, 1000, &response), KF_ERR_BAD_VERSION));
    cr_assert(ne(ptr, strstr(error.text, "Metadata has versions 0 to "), NULL));
}

Test(client, refuses_a_schema_that_is_no_request)
{
    struct kf_metadata_response message;
    kf_response response = {0};
    kf_reset(&kf_schema_of_metadata_response, &message);
    cr_assert(eq(int,
                 kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_response, -1, &message,
                         in_ms(1000), &response, &error),
                 KF_ERR_INVALID_ARGUMENT));
    cr_assert(eq(str, error.text, "MetadataResponse is not a request"));
}

Test(client, names_the_api_when_no_answer_comes_in_time)
{
    kf_broker_fault fault = {
        .size = sizeof fault, .kind = KF_BROKER_DROP_ANSWER, .api_key = KF_API_METADATA};
    cr_assert(ne(int, kf_broker_fault_add(broker, &fault), 0));
    kf_response response = {0};
    cr_assert(eq(int, call_metadata(KF_NODE_ANY, -1, 300, &response), KF_ERR_TIMED_OUT));
    cr_assert(ne(ptr, strstr(error.text, "Metadata"), NULL), "%s", error.text);
}

Test(client, names_the_broker_that_can_not_be_reached)
{
    kf_client *other = open_at("127.0.0.1:1");
    struct kf_metadata_request request;
    kf_response response = {0};
    ask_metadata(&request);
    cr_assert(eq(int,
                 kf_call(other, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, &request,
                         in_ms(2000), &response, &error),
                 KF_ERR_CONNECT_FAILED));
    cr_assert(ne(ptr, strstr(error.text, "127.0.0.1:1"), NULL), "%s", error.text);
    kf_client_close(other);
}

Test(client, finds_leaders_partitions_and_coordinators)
{
    int32_t count = 0, node = 0, leader = 0, epoch = 0;
    cr_assert(eq(int, kf_client_partitions(client, "orders", in_ms(20000), &count, &error), KF_OK));
    cr_assert(eq(int, count, 3));
    kf_broker_leader(broker, "orders", 1, &leader, &epoch);
    cr_assert(eq(int, kf_client_leader(client, "orders", 1, in_ms(20000), &node, &error), KF_OK));
    cr_assert(eq(int, node, leader));
    cr_assert(eq(int, kf_client_coordinator(client, "g", 0, in_ms(20000), &node, &error), KF_OK));
    cr_assert(ge(int, node, 1));
}

Test(client, names_the_topic_that_is_not_there)
{
    int32_t count = 0;
    cr_assert(eq(int, kf_client_partitions(client, "absent", in_ms(20000), &count, &error),
                 KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(ne(ptr, strstr(error.text, "there is no topic \"absent\""), NULL), "%s", error.text);
}

Test(client, names_the_partition_that_is_not_there)
{
    int32_t node = 0;
    cr_assert(eq(int, kf_client_leader(client, "orders", 3, in_ms(20000), &node, &error),
                 KF_ERR_UNKNOWN_TOPIC_OR_PARTITION));
    cr_assert(eq(str, error.text, "topic \"orders\" has no partition 3: it has 3"));
    cr_assert(eq(int, node, -1));
}

Test(client, tells_what_a_broker_advertises)
{
    int16_t least = -1, most = -1;
    cr_assert(
        eq(int,
           kf_client_api_versions(client, 2, KF_API_METADATA, in_ms(20000), &least, &most, &error),
           KF_OK));
    cr_assert(ge(int, most, least));
    cr_assert(
        eq(int,
           kf_client_api_versions(client, KF_NODE_ANY, 32000, in_ms(20000), &least, &most, &error),
           KF_ERR_API_NOT_SUPPORTED));
}

static void *call_many(void *context)
{
    intptr_t failed = 0;
    for (int i = 0; i < 50; i++) {
        kf_response response = {0};
        struct kf_metadata_request request;
        ask_metadata(&request);
        failed += kf_call(client, 1 + i % 2, &kf_schema_of_metadata_request, -1, &request,
                          in_ms(20000), &response, NULL) != KF_OK;
        kf_response_free(&response);
    }
    *(intptr_t *)context = failed;
    return NULL;
}

Test(client, serves_many_threads)
{
    pthread_t threads[4];
    intptr_t failed[4];
    for (int i = 0; i < 4; i++)
        cr_assert(eq(int, pthread_create(&threads[i], NULL, call_many, &failed[i]), 0));
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        cr_assert(eq(int, (int)failed[i], 0));
    }
}

/* Exit codes, since a failed assertion in the child would not be heard. */
Test(client, is_its_opener_s_only)
{
    pid_t child = fork();
    if (child == 0) {
        kf_response response = {0};
        kf_err err = call_metadata(KF_NODE_ANY, -1, 1000, &response);
        kf_client_close(client);
        _exit(err == KF_ERR_FORKED ? 0 : 1);
    }
    int status = -1;
    cr_assert(eq(int, waitpid(child, &status, 0), child));
    cr_assert(eq(int, status, 0));
}

Test(client, keeps_the_first_error_when_it_could_not_be_opened)
{
    kf_response response = {0};
    kf_error_set(&error, KF_ERR_CONFIG, "first");
    cr_assert(eq(
        int,
        kf_call(NULL, KF_NODE_ANY, &kf_schema_of_metadata_request, -1, NULL, 0, &response, &error),
        KF_ERR_CONFIG));
    cr_assert(eq(str, error.text, "first"));
}
