/* route: what the user said about a topic (or a pattern of topics), as given to kf_runtime_handle.
 */
#ifndef KF_RUNTIME_ROUTE_H
#define KF_RUNTIME_ROUTE_H

#include <kafiber/runtime.h>
#include <regex.h>

struct kf__route {
    char *topic; /* name or pattern; owned */
    regex_t regex;
    bool is_pattern;
    kf_semantics semantics;
    kf_handler handler;
    void *context;
    size_t stack_bytes;
    kf_time retry_backoff; /* nanoseconds */
    kf_time retry_backoff_max;
    int32_t chunk_records; /* at most once */
    int64_t chunk_bytes;
    kf_err told; /* why the topic can't be used yet, as last logged */
    struct kf__route *next;
};

/* Which route takes a topic: its own name first, then the first pattern that matches; NULL: none.
 */
const struct kf__route *kf__route_find(const struct kf__route *routes, const char *topic);

#endif
