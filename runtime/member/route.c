/* route: finds the handler of a topic. */
#include "runtime/member/route.h"

#include <string.h>

const struct kf__route *kf__route_find(const struct kf__route *routes, const char *topic)
{
    for (const struct kf__route *route = routes; route; route = route->next)
        if (!route->is_pattern && strcmp(route->topic, topic) == 0)
            return route;
    for (const struct kf__route *route = routes; route; route = route->next)
        if (route->is_pattern && regexec(&route->regex, topic, 0, NULL, 0) == 0)
            return route;
    return NULL;
}
