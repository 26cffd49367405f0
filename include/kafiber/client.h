/*
 * client: any Kafka API, called on any broker; what tools, tests and
 * administration stand on.
 *
 *     struct kf_metadata_request request;
 *     kf_reset(&kf_schema_of_metadata_request, &request);
 *     kf_response response = {0};
 *     kf_err err = kf_call(client, KF_NODE_ANY, &kf_schema_of_metadata_request, -1,
 *                          &request, kf_now() + 5 * KF_SECOND, &response, &error);
 *     const struct kf_metadata_response *metadata = response.message;
 *     …
 *     kf_response_free(&response);
 *
 * A client has one I/O thread and its own connections. Every function may be
 * called from any thread; calls block until their deadline (inside a fiber
 * they hold its worker). A plain thread that waits may turn the client's loop
 * meanwhile, which spares two switches of threads: what the configuration has
 * called back (log, tokens) may then run on it.
 */
#ifndef KAFIBER_CLIENT_H
#define KAFIBER_CLIENT_H

#include <kafiber/codec.h>
#include <kafiber/config.h>
#include <kafiber/fiber.h>

KF_BEGIN_DECLS

typedef struct kf_client kf_client;

/* The configuration is copied. Nothing is connected yet. */
KF_API kf_client *kf_client_new(const kf_config *config, kf_error *error);
KF_API void kf_client_close(kf_client *client);

enum {
    KF_NODE_ANY = -1,
    KF_NODE_CONTROLLER = -2
};

/* Owned by the caller; zeroed before the first use. */
typedef struct kf_response {
    const void *message; /* struct kf_…_response of the request's API; NULL before an answer */
    const kf_schema *schema;
    int16_t version;
    int32_t node;    /* who answered */
    void *memory[2]; /* private: what `message` lies in */
} kf_response;

KF_API void kf_response_free(kf_response *response);

/*
 * Sends one request and waits for its answer. `version` -1: the newest that
 * both sides speak. Errors inside the answer are not this call's errors.
 * KF_ERR_API_NOT_SUPPORTED: the broker does not have the API or the version;
 * KF_ERR_TIMED_OUT, KF_ERR_NO_BROKER, …: with a sentence in *error.
 */
KF_API kf_err kf_call(kf_client *client, int32_t node, const kf_schema *request, int16_t version,
                      const void *message, kf_time deadline, kf_response *response,
                      kf_error *error);

/* The node that coordinates a group (or, key_type 1, a transactional id). */
KF_API kf_err kf_client_coordinator(kf_client *client, const char *key, int8_t key_type,
                                    kf_time deadline, int32_t *node, kf_error *error);
/* The node that leads a partition; KF_ERR_UNKNOWN_TOPIC_OR_PARTITION where there is none. */
KF_API kf_err kf_client_leader(kf_client *client, const char *topic, int32_t partition,
                               kf_time deadline, int32_t *node, kf_error *error);
/* How many partitions a topic has. */
KF_API kf_err kf_client_partitions(kf_client *client, const char *topic, kf_time deadline,
                                   int32_t *count, kf_error *error);

/* The API's versions as a node advertises them. Connects where needed. */
KF_API kf_err kf_client_api_versions(kf_client *client, int32_t node, int16_t api_key,
                                     kf_time deadline, int16_t *min_version, int16_t *max_version,
                                     kf_error *error);

KF_END_DECLS

#endif
