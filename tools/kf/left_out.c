/*
 * left_out: the verbs that a small build doesn't have say so, and which option brings them back.
 * CMakeLists.txt leaves out their files.
 */
#include "tools/kf/options.h"
#include "tools/kf/verbs.h"

#include <stdio.h>

#define LEFT_OUT(verb, function, option)                                                           \
    int function(int argc, char **argv)                                                            \
    {                                                                                              \
        (void)argc, (void)argv;                                                                    \
        fprintf(stderr, "kf " verb ": this build leaves it out; build with " option "\n");         \
        return KF__EXIT_USAGE;                                                                     \
    }

/* Nothing at all would be no file of C. */
extern const char kf__left_out[];
const char kf__left_out[] = "";

#ifndef KAFIBER_WITH_JSON
LEFT_OUT("call", kf__verb_call, "-DKAFIBER_JSON=ON")
LEFT_OUT("codec", kf__verb_codec, "-DKAFIBER_JSON=ON")
LEFT_OUT("decode", kf__verb_decode, "-DKAFIBER_JSON=ON")
#endif
#ifndef KAFIBER_WITH_ADMIN
LEFT_OUT("group", kf__verb_group, "-DKAFIBER_MESSAGES_ADMIN=ON")
LEFT_OUT("topic", kf__verb_topic, "-DKAFIBER_MESSAGES_ADMIN=ON")
#endif
#ifndef KAFIBER_WITH_BROKER
LEFT_OUT("broker", kf__verb_broker, "-DKAFIBER_JSON=ON and all of -DKAFIBER_MESSAGES_…=ON")
LEFT_OUT("demo", kf__verb_demo, "-DKAFIBER_JSON=ON and all of -DKAFIBER_MESSAGES_…=ON")
#endif
