/* check: what a program of this folder asserts; the first thing that doesn't hold ends it. */
#ifndef KF_TESTS_LIFE_CHECK_H
#define KF_TESTS_LIFE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

#endif
