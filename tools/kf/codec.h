/* codec: `kf codec decode|encode|schema`; argv[0] is the verb. Returns the exit code. */
#ifndef KF_TOOLS_KF_CODEC_H
#define KF_TOOLS_KF_CODEC_H

int kf__verb_codec(int argc, char **argv);

#endif
