#include "tools/broker/admin/versions.h"

#include <kafiber/messages.h>
#include <string.h>

static const char *const names[KF__RELEASES] = {"2.1", "2.8", "3.9", "4.0",
                                                "4.1", "4.2", "4.3", "4.4"};

struct row {
    int16_t api;
    struct kf__range of[KF__RELEASES];
};

#define V(least, most)       {(least), (most)}
#define NONE                 {0, -1}
#define KF_SPOKEN(name, ...) {KF_API_##name, {__VA_ARGS__}},

/* In order of keys. */
static const struct row rows[] = {
#include "tools/broker/admin/versions.def"
};

bool kf__release_by_name(const char *name, enum kf__release *release)
{
    for (int i = 0; i < KF__RELEASES; i++) {
        size_t size = strlen(names[i]);
        if (strncmp(name, names[i], size) != 0 || (name[size] != 0 && name[size] != '.'))
            continue;
        *release = (enum kf__release)i;
        return true;
    }
    return false;
}

struct kf__range kf__spoken(enum kf__release release, int16_t api)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].api == api)
            return rows[i].of[release];
    return (struct kf__range){.min = 0, .max = -1};
}
