/*
 * client_lone: threads that ask one client, now alone, now at once, some for
 * what takes its time; a plain main, for the thread sanitizer. Who asks turns
 * the loop (runtime/client/io.h), and nobody may be forgotten when that one
 * leaves: each call is answered, long before its deadline.
 *
 *     life_client_lone [CALLS]
 */
#include "tests/check.h"

#include <kafiber/broker.h>
#include <kafiber/client.h>
#include <kafiber/fiber.h>
#include <kafiber/messages.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS = 3,
    ALONE = 16, /* calls of one thread before the others come back */
    SLOW = 7,   /* every so many calls are answered late */
};

static kf_client *client;
static int calls = 300;

static void ask(const kf_schema *schema, const void *request)
{
    kf_error error = KF_ERROR_INIT;
    kf_response response = {0};
    kf_err err = kf_call(client, KF_NODE_ANY, schema, -1, request, kf_now() + 60 * KF_SECOND,
                         &response, &error);
    if (err)
        fprintf(stderr, "%s\n", error.text);
    CHECK(!err && response.message);
    kf_response_free(&response);
}

/* Each pauses at times of its own, beyond the time for which the I/O thread stays aside, too. */
static void *call(void *context)
{
    int thread = (int)(intptr_t)context;
    struct kf_metadata_request metadata;
    struct kf_list_groups_request groups;
    kf_reset(&kf_schema_of_metadata_request, &metadata);
    kf_reset(&kf_schema_of_list_groups_request, &groups);
    for (int i = 0; i < calls; i++) {
        if (i % SLOW == thread)
            ask(&kf_schema_of_list_groups_request, &groups);
        else
            ask(&kf_schema_of_metadata_request, &metadata);
        if (i % (ALONE * THREADS) == ALONE * thread)
            kf_sleep((i % 5 ? 2 : 120) * KF_MILLISECOND);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    kf_error error = KF_ERROR_INIT;
    if (count > 1)
        calls = atoi(arguments[1]);
    kf_broker_options options = {.size = sizeof options, .thread = true};
    kf_broker *broker = kf_broker_start(&options, &error);
    CHECK(broker && kf_broker_script(broker, "on ListGroups delay 3ms\n", &error) == KF_OK);
    kf_config *config = kf_config_new(NULL);
    kf_config_set(config, "bootstrap.servers", kf_broker_bootstrap(broker), &error);
    client = kf_client_new(config, &error);
    kf_config_free(config);
    CHECK(client);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, call, (void *)(intptr_t)i) == 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    kf_client_close(client);
    printf("%d calls\n", THREADS * calls);
    kf_broker_stop(broker);
    return 0;
}
