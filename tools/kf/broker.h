/*
 * broker: the verb `kf broker`. argv[0] is the verb.
 */
#ifndef KF_KF_BROKER_H
#define KF_KF_BROKER_H

int kf__verb_broker(int argc, char **argv);

#endif
