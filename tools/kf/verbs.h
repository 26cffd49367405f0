/* verbs: the verbs of `kf`, one function each, in a file named for it. */
#ifndef KF_TOOLS_VERBS_H
#define KF_TOOLS_VERBS_H

/* argv[0] is the verb. Returns the exit code (docs/cli.md). */
#define KF_VERB(name, function, text) int function(int argc, char **argv);
#include "tools/kf/verbs.def"
#undef KF_VERB

#endif
