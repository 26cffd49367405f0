/* main: finds the verb and hands over. */
#include "tools/kf/verbs.h"

#include <stdio.h>
#include <string.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
};

static const struct verb verbs[] = {
#define KF_VERB(name, function, text) {name, function, text},
#include "tools/kf/verbs.def"
#undef KF_VERB
};

static void print_usage(FILE *stream)
{
    fprintf(stream, "usage: kf VERB [OPTION]... [ARGUMENT]...\n\n");
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        fprintf(stream, "  %-14s %s\n", verbs[i].name, verbs[i].text);
    fprintf(stream, "\nkf VERB --help says more about a verb.\n");
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage(stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    fprintf(stderr, "kf: there is no verb \"%s\"; kf --help lists them\n", argv[1]);
    return 2;
}
